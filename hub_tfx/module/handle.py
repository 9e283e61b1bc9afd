"""ModuleHandle: the parts of the string that a person types to name a module.

Handles follow TensorFlow Hub: a URL whose last path segment may be a version
(``https://tfhub.dev/google/nnlm-en-dim128/2``), an archive, or a path. Ours also lead into a
repository: ``repo+DIRECTORY//publisher/model/3``, or ``…@stable`` by an alias; into a bucket:
``gs://bucket/model``; and to Hugging Face: ``hf://owner/repository@revision/folder``.
"""

import hashlib
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hub_tfx._files import odd_name
from hub_tfx.errors import ConfigError, HandleError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_VERSION = re.compile(r"^(.*)/(0|[1-9][0-9]{0,18})$")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\#\ud800-\udfff]")
IN_REPOSITORY = "repo+"
_REFERENCE = re.compile(
    r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:/([1-9][0-9]{0,8})|@([A-Za-z0-9._-]+))?"
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
BUCKETS = ("abfs", "abfss", "az", "gcs", "gs", "hdfs", "memory", "s3", "s3a")
"""Schemes of object stores and of HDFS, whose URLs are a bucket and the name of an object."""
HUGGING_FACE = "hf"
_BAD_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\\#?]")
_CONTAINER = re.compile(r"[A-Za-z0-9$-]+@[A-Za-z0-9.-]+")
_NAME = r"(?!\.+/)(?!\.+@)(?!\.+$)[A-Za-z0-9._-]+"
_HUGGING_FACE = re.compile(
    rf"({_NAME}/{_NAME})(?:@([A-Za-z0-9._%-]+))?((?:/(?!\.+/)(?!\.+$)[^/@]+)*)/*"
)


@dataclass(frozen=True)
class ModuleHandle:
    """Where to find a module.

    ``ModuleHandle.parse(handle.url) == handle`` for every handle. ``str`` is for people and logs:
    it hides user names, passwords and the values of query parameters, which may be credentials.

    Attributes:
      scheme: lower case; ``file`` for a path on this machine, ``repo`` for one in a repository.
      authority: host and port, lower case, without a default port; empty for paths; the directory
        or URL of a repository; the bucket, as it is written; ``owner/repository`` of Hugging Face.
      path: absolute path without the version; no trailing slash; ``publisher/model`` in a
        repository.
      version: the all-digit last segment of a remote path, if there is one.
      query: query of the URL, byte for byte, since a signed URL is valid only as it was signed.
      userinfo: ``user:password`` in the URL.
      alias: name that stands for a version in a repository, if the handle has one; the revision of
        a repository of Hugging Face, as it is written.
    """

    scheme: str
    authority: str
    path: str
    version: int | None = None
    query: str = field(default="", repr=False)
    userinfo: str = field(default="", repr=False)
    alias: str = ""

    @classmethod
    def parse(cls, text: str) -> "ModuleHandle":
        """Parses a URL or a path; relative paths are taken from the working directory.

        Raises:
          HandleError: the handle is empty, or holds characters that no handle may hold.
        """
        if not text.strip():
            raise HandleError("the module handle is empty: give a URL, an archive or a directory")
        if text[: len(IN_REPOSITORY)].lower() == IN_REPOSITORY:
            return cls._of_repository(text)
        scheme = _SCHEME.match(text)
        if scheme is None:
            return cls._of_path(text)
        if scheme[1].lower() == "file":
            authority, _, path = text[scheme.end() :].partition("/")
            if authority not in ("", "localhost"):
                host = authority.rpartition("@")[2]
                raise HandleError(f"module handle names a file on another host: {host!r}")
            return cls._of_path("/" + path)
        if scheme[1].lower() in BUCKETS:
            return cls._of_bucket(scheme[1].lower(), text[scheme.end() :])
        if scheme[1].lower() == HUGGING_FACE:
            return cls._of_hugging_face(text[scheme.end() :])
        return cls._of_url(text)

    @classmethod
    def _of_path(cls, text: str) -> "ModuleHandle":
        if "\x00" in text:
            raise HandleError(f"module handle {text!r} holds a NUL byte")
        path = os.path.abspath(os.path.expanduser(text))
        if odd_name(path) is not None:
            raise HandleError(f"module handle {path!r} is not valid UTF-8: rename the directory")
        return cls("file", "", path)

    @classmethod
    def _of_repository(cls, text: str) -> "ModuleHandle":
        root, _, named = text[len(IN_REPOSITORY) :].rpartition("//")
        reference = _REFERENCE.fullmatch(named)
        if not root or root.endswith(":") or reference is None:
            raise HandleError(
                f"module handle {_without_userinfo(text)!r} names no module of a repository: give "
                "repo+DIRECTORY//publisher/model, with /3 for a version or @stable for an alias"
            )
        path, version, alias = reference.groups()
        return cls(
            "repo", _repository(root), path, int(version) if version else None, alias=alias or ""
        )

    @classmethod
    def _of_bucket(cls, scheme: str, text: str) -> "ModuleHandle":
        bucket, _, name = text.partition("/")
        name = name.rstrip("/")
        if "?" in text or ("@" in bucket and not _is_container(scheme, bucket)):
            raise HandleError(
                f"module handle {scheme}://… has a user name or a query: give bucket and name "
                "only, since credentials come from where the store's own tools look for them"
            )
        if bad := _BAD_IN_NAMES.search(text):
            raise HandleError(f"module handle holds {bad[0]!r}: rename the object in the bucket")
        if not bucket and scheme != "hdfs":
            raise HandleError(f"module handle names no bucket: give {scheme}://bucket/name")
        if odd_name(text) is not None or {"", ".", ".."} & set(name.split("/") if name else ()):
            raise HandleError(
                f"module handle {scheme}://{bucket}/… has an empty part, '.' or '..' in the name "
                "of the object, or one that is not UTF-8: give the name without"
            )
        path = f"/{name}" if name else ""
        versioned = _VERSION.match(path)
        if versioned is None:
            return cls(scheme, bucket, path)
        return cls(scheme, bucket, versioned[1], int(versioned[2]))

    @classmethod
    def _of_hugging_face(cls, text: str) -> "ModuleHandle":
        found = None if _FORBIDDEN.search(text) else _HUGGING_FACE.fullmatch(text)
        if found is None or odd_name(text) is not None:
            raise HandleError(
                "module handle hf://… names no repository of Hugging Face: give "
                "hf://owner/repository, with @revision, and /folder if the module is in one"
            )
        return cls(HUGGING_FACE, found[1], found[3].rstrip("/"), alias=found[2] or "")

    @classmethod
    def _of_url(cls, text: str) -> "ModuleHandle":
        if bad := _FORBIDDEN.search(text):
            raise HandleError(
                f"module handle holds {bad[0]!r}, which no URL may hold: percent-encode it"
            )
        try:
            parts = urlsplit(text)
            parts.port  # noqa: B018  (raises ValueError for a port that is not a number)
        except ValueError:  # Its text may hold the user's name and password.
            raise HandleError("module handle is not a valid URL: check its host and port") from None
        userinfo, _, host = parts.netloc.rpartition("@")
        if not parts.hostname:
            raise HandleError(f"module handle names no host: {parts.scheme}://…{parts.path}")
        scheme = parts.scheme.lower()
        if scheme == "repo":
            raise HandleError(
                "module handle begins with repo://: a module of a repository is "
                "repo+DIRECTORY//publisher/model"
            )
        # A query may be a signature over this very path, so with one the path is left as it is.
        path = parts.path if parts.query else parts.path.rstrip("/")
        version = None
        if not parts.query and (versioned := _VERSION.match(path)):
            path, version = versioned[1], int(versioned[2])
        return cls(
            scheme=scheme,
            authority=host.lower().removesuffix(_DEFAULT_PORTS.get(scheme, "\0")),
            path=path,
            version=version,
            query=parts.query,
            userinfo=userinfo,
        )

    @property
    def is_local(self) -> bool:
        return self.scheme == "file"

    @property
    def is_in_repository(self) -> bool:
        return self.scheme == "repo"

    @property
    def is_versioned(self) -> bool:
        return self.version is not None

    @property
    def may_hold_secret(self) -> bool:
        """Whether the handle may hold something that must not be logged or stored."""
        return bool(self.userinfo or self.query)

    @property
    def url(self) -> str:
        """The handle in full, secrets included: for fetchers only, never for logs."""
        if self.is_local:
            return self.path
        if self.is_in_repository:
            alias = f"@{self.alias}" if self.alias else ""
            return f"{IN_REPOSITORY}{self.authority}//{self._full_path}{alias}"
        if self.scheme == HUGGING_FACE:
            alias = f"@{self.alias}" if self.alias else ""
            return f"{self.scheme}://{self.authority}{alias}{self.path}"
        userinfo = f"{self.userinfo}@" if self.userinfo else ""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{userinfo}{self.authority}{self._full_path}{query}"

    @property
    def key(self) -> str:
        """SHA-256 of the canonical handle, in hex: the name under which a cache keeps it."""
        return hashlib.sha256(self.url.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def _full_path(self) -> str:
        return self.path if self.version is None else f"{self.path}/{self.version}"

    def __str__(self) -> str:
        if self.is_local or self.is_in_repository or self.scheme == HUGGING_FACE:
            return self.url
        query = "?" + "&".join(map(_redacted, self.query.split("&"))) if self.query else ""
        return f"{self.scheme}://{self.authority}{self._full_path}{query}"


def _repository(root: str) -> str:
    """The canonical form of a repository's directory or URL, which never holds a secret."""
    url = _SCHEME.match(root)
    if url is None or url[1].lower() == "file":
        return ModuleHandle._of_path(root[url.end() :] if url else root).path
    if url[1].lower() in _DEFAULT_PORTS:
        raise HandleError(
            "module handle leads into a repository on a web server: give the version's own URL, "
            "https://host/publisher/model/3"
        )
    if bad := _FORBIDDEN.search(root) or re.search(r"[@?]", root):
        raise HandleError(
            f"module handle holds {bad[0]!r} in the URL of a repository: credentials come from "
            "where the store's own tools look for them"
        )
    return f"{url[1].lower()}://{root[url.end() :].rstrip('/')}"


def _is_container(scheme: str, bucket: str) -> bool:
    """Whether ``container@account`` names a container of Azure, and no user."""
    return scheme in ("abfs", "abfss") and _CONTAINER.fullmatch(bucket) is not None


def _without_userinfo(text: str) -> str:
    """A handle that cannot be read, for a message: without what may be a password."""
    return re.sub(r"(://)[^/]*@", r"\1…@", text)


def _redacted(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}=…" if equals else "…"  # Without "=" the name may itself be the secret.


def checked_handle(text: str) -> ModuleHandle:
    """Parses the handle of a module that ML Metadata is going to know.

    Raises:
      HandleError: the handle cannot be parsed.
      ConfigError: the handle holds what may be a credential, which would end in ML Metadata.
    """
    handle = ModuleHandle.parse(text)
    if handle.may_hold_secret:
        raise ConfigError(
            f"the handle {handle} has a user name or a query, which may be a credential and would "
            "be kept in ML Metadata: resolve it before the pipeline and name the directory"
        )
    return handle
