"""Where what lies in a repository, and the marker that makes a version one.

    <root>/
      <publisher>/<model>/
        3/                    a version; never changes
          version.json        its marker: what it holds, by digest. Without it there is no version
          module.tar.gz       reproducible archive, as TF Hub's compressed protocol takes it
          module.json         derived facts
          README.md           the card it was published with
          variants/<kind>/…   the module in other formats
          module/…            the module's files; on a disk and in gs:// only
        -/                    what may change, in numbered records that never change themselves
          aliases/<alias>/0001.json
          yanks/<version>/0001.json
          cards/<version>/0001.json
          signatures/…
      -/                      what is not a module: no publisher can be called "-"
        repository.json       says that this is a repository, and of which layout
        blobs/ab/abcd…        content by SHA-256
        spellings/            in which upper and lower case a name was published
        work/                 of publishers at work

Files above a module's own folder are never listed to find it, so that it costs the same among ten
thousand.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hub_tfx.errors import DigestMismatchError, HandleError
from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.repository.names import ModuleName

RESERVED = "-"
LAYOUT = 1
REPOSITORY = "-/repository.json"
BLOBS = "-/blobs"
WORK = "-/work"
SPELLINGS = "-/spellings"
MARKER = "version.json"
MODULE = "module"
ARCHIVE = "module.tar.gz"
FACTS = "module.json"
CARD = "README.md"
VARIANTS = "variants"
_NOT_OURS = (ValueError, TypeError, LookupError, AttributeError, RecursionError, HandleError)
"""What reading a marker that somebody else wrote may raise."""


def module_key(name: ModuleName) -> str:
    return f"{name.publisher}/{name.model}"


def version_key(name: ModuleName, number: int) -> str:
    return f"{module_key(name)}/{number}"


def records_key(name: ModuleName, kind: str, subject: str | int) -> str:
    """Folder of the numbered records about an alias or a version: see ``records``."""
    return f"{module_key(name)}/{RESERVED}/{kind}/{subject}"


def blob_key(sha256: str) -> str:
    return f"{BLOBS}/{sha256[:2]}/{sha256}"


def spelling_keys(name: ModuleName) -> tuple[tuple[str, str], ...]:
    """(key, spelling) of the records that hold a name in the case it was published in."""
    folded = name.folded
    return (
        (f"{SPELLINGS}/{folded.publisher}/{RESERVED}.json", name.publisher),
        (f"{SPELLINGS}/{folded.publisher}/{folded.model}.json", name.model),
    )


@dataclass(frozen=True)
class Version:
    """A published version, as its marker says. ``from_json(v.to_json()) == v``.

    Attributes:
      name: name of the module.
      number: 1, 2, 3 ...
      manifest: the module's files; its digest is the version's identity.
      beside: the files that lie beside the module: archive, facts and card.
      who: who published it, as user@host.
      when: when, in UTC as ISO 8601 writes it.
    """

    name: ModuleName
    number: int
    manifest: Manifest
    beside: tuple[FileEntry, ...]
    who: str
    when: str

    @property
    def key(self) -> str:
        return version_key(self.name, self.number)

    @property
    def digest(self) -> str:
        return self.manifest.digest

    @property
    def size_bytes(self) -> int:
        return self.manifest.size_bytes

    def entry(self, path: str) -> FileEntry | None:
        """The file beside the module of a name such as ARCHIVE; None where there is none."""
        return next((entry for entry in self.beside if entry.path == path), None)

    @property
    def variants(self) -> tuple[FileEntry, ...]:
        """The files of the module in other formats."""
        return tuple(entry for entry in self.beside if entry.path.startswith(f"{VARIANTS}/"))

    @property
    def entries(self) -> Iterator[FileEntry]:
        """Every file of the version except the marker; paths are relative to the version."""
        for entry in self.manifest.files:
            yield FileEntry(f"{MODULE}/{entry.path}", entry.size_bytes, entry.sha256)
        yield from self.beside

    def to_json(self) -> str:
        document = {
            "name": str(self.name),
            "version": self.number,
            "digest": self.digest,
            "module": [asdict(entry) for entry in self.manifest.files],
            "beside": [asdict(entry) for entry in self.beside],
            "who": self.who,
            "when": self.when,
        }
        return json.dumps(document, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes, key: str) -> "Version":
        """The version of a marker; raises DigestMismatchError for one that was not written by us.

        Args:
          text: the marker.
          key: where it lay, which it must say of itself.
        """
        try:
            version = cls._of(json.loads(text))
        except _NOT_OURS as error:
            raise DigestMismatchError(f"{key}/{MARKER} is damaged: {error}: {_VERIFY}") from error
        if version.key != key:
            raise DigestMismatchError(
                f"{key}/{MARKER} is damaged: it is that of {version.key}: {_VERIFY}"
            )
        return version

    @classmethod
    def _of(cls, document: dict[str, Any]) -> "Version":
        manifest = _manifest(document["module"])
        beside = _manifest(document["beside"]).files
        if manifest.digest != document["digest"]:
            raise ValueError("its digest is not that of its files")
        if foreign := [entry.path for entry in beside if not lies_beside(entry.path)]:
            raise ValueError(f"{foreign[0]!r} does not belong to a version")
        number, who, when = document["version"], document["who"], document["when"]
        if type(number) is not int or not isinstance(who, str) or not isinstance(when, str):
            raise ValueError("a value is of another type")
        return cls(ModuleName.parse(document["name"]), number, manifest, beside, who, when)


def lies_beside(path: str) -> bool:
    """Whether a file of this path may lie beside the module of a version."""
    return path in (ARCHIVE, FACTS, CARD) or path.startswith(f"{VARIANTS}/")


def _manifest(entries: object) -> Manifest:
    return Manifest.from_json(json.dumps({"files": entries}))


_VERIFY = "run `hub-tfx repo verify`, and copy the version from elsewhere"
