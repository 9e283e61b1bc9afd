"""URLs of hubs that have an interface of their own: Kaggle's models and Hugging Face's.

Only the URLs are read here, so that a module that is in the cache needs no HTTP library.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hub_tfx.module.handle import HUGGING_FACE, ModuleHandle

_KAGGLE_HOSTS = ("kaggle.com", "www.kaggle.com")
_HUGGING_FACE_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_PART = r"(?!\.+/)(?!\.+$)[A-Za-z0-9._-]+"
_KAGGLE = (
    re.compile(
        rf"/models/({_PART})/({_PART})/frameworks/({_PART})/variations/({_PART})"
        r"(?:/versions/([1-9][0-9]{0,8}))?"
    ),
    re.compile(rf"/models/({_PART})/({_PART})/({_PART})/({_PART})(?:/([1-9][0-9]{{0,8}}))?"),
)
_HUGGING_FACE = re.compile(rf"/({_PART}/{_PART})(?:/tree/([^/]+)((?:/[^/]+)*))?")


@dataclass(frozen=True)
class KaggleModel:
    """A variation of a model on Kaggle.

    Attributes:
      owner, model, framework, variation: as its URL has them.
      version: number of its version; None for the latest.
    """

    owner: str
    model: str
    framework: str
    variation: str
    version: int | None = None

    @property
    def path(self) -> str:
        """Where the interface has the variation, below ``api/v1/``."""
        return f"models/{self.owner}/{self.model}/{self.framework}/{self.variation}"


@dataclass(frozen=True)
class HuggingFaceRepo:
    """A folder of a model repository of Hugging Face.

    Attributes:
      name: ``owner/repository``.
      revision: a branch, tag or commit.
      folder: path of the folder in the repository; empty for its root.
    """

    name: str
    revision: str = "main"
    folder: str = ""


def kaggle_model(handle: ModuleHandle) -> KaggleModel | None:
    """The model of a handle like ``https://www.kaggle.com/models/…``; None for other handles."""
    if handle.scheme != "https" or handle.authority not in _KAGGLE_HOSTS or handle.query:
        return None
    path = urlsplit(handle.url).path
    for form in _KAGGLE:
        if found := form.fullmatch(path):
            owner, model, framework, variation, version = found.groups()
            number = int(version) if version else None
            return KaggleModel(owner, model, framework, variation, number)
    return None


def hugging_face_repo(handle: ModuleHandle) -> HuggingFaceRepo | None:
    """The repository of ``hf://owner/repo`` or its web page; None for other handles."""
    if handle.scheme == HUGGING_FACE:
        revision = unquote(handle.alias) or "main"
        return HuggingFaceRepo(handle.authority, revision, handle.path.strip("/"))
    if handle.scheme != "https" or handle.authority not in _HUGGING_FACE_HOSTS or handle.query:
        return None
    found = _HUGGING_FACE.fullmatch(urlsplit(handle.url).path)
    if found is None:
        return None
    name, revision, folder = found.groups()
    return HuggingFaceRepo(name, unquote(revision or "main"), unquote(folder or "").strip("/"))
