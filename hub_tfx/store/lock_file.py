"""A lock file: which digest each handle stands for, kept beside the code that uses the modules.

    {
      "version": 1,
      "modules": {
        "https://tfhub.dev/google/nnlm-en-dim128/2": {"digest": "3f1c…"},
        "repo+gs://models//acme/text@stable": {
          "digest": "9b04…",
          "resolved": "repo+gs://models//acme/text/3"
        }
      }
    }

Handles are sorted, and written as ``str(ModuleHandle)`` has them: without a user's name and without
the values of a query, which may be credentials. ``hub-tfx resolve --lock`` writes the file.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hub_tfx._files import check_output_name, open_regular, replacing, why
from hub_tfx._text import quoted
from hub_tfx._yaml import YamlError, decode
from hub_tfx.errors import ConfigError, ConfigFileError, HandleError, OutputError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import is_digest
from hub_tfx.module.resolved import ResolvedModule

if TYPE_CHECKING:
    from hub_tfx.store.cache import ModuleCache

_VERSION = 1
_MAX_BYTES = 16 << 20
_HOW = "`hub-tfx resolve HANDLE --lock FILE` does so"
_LOCK_AGAIN = f"correct it, or remove the file and write it again; {_HOW}"
_KEYS = ("version", "modules")
_MODULE_KEYS = ("digest", "resolved")


@dataclass(frozen=True)
class Locked:
    """What a handle stands for.

    Attributes:
      digest: digest of the module, in hex.
      resolved: the handle with the number of the version that an alias stood for; None where the
        handle says the same.
    """

    digest: str
    resolved: str | None = None

    @classmethod
    def of(cls, handle: ModuleHandle, module: ResolvedModule) -> "Locked":
        """What a handle has just been resolved to."""
        return cls(module.digest, None if module.handle == str(handle) else module.handle)


@dataclass(frozen=True)
class LockFile:
    """The content of a lock file. ``LockFile.parse(lock.to_json(), lock.path) == lock``.

    Attributes:
      modules: handle, without secrets -> what it stands for.
      path: the file, for messages.
    """

    modules: Mapping[str, Locked]
    path: str

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "LockFile":
        """Reads a lock file.

        Raises:
          ConfigFileError: it cannot be read, or holds what a lock file does not.
        """
        path = os.fspath(path)
        try:
            with open_regular(path) as file:
                source = file.read(_MAX_BYTES + 1)
        except (OSError, ValueError) as error:  # A path with a NUL is a ValueError.
            reason = why(error) if isinstance(error, OSError) else str(error)
            raise ConfigFileError(
                [f"{path}: cannot be read: {reason}: name a lock file, or write one; {_HOW}"]
            ) from None
        try:
            text = decode(source, _MAX_BYTES, "a lock file")
        except YamlError as error:
            raise ConfigFileError([f"{path}:{error.line}: {error}: {_LOCK_AGAIN}"]) from None
        return cls.parse(text, path)

    @classmethod
    def parse(cls, text: str, path: str) -> "LockFile":
        """The lock file with this text; raises ConfigFileError as ``read`` does."""
        return cls(_Reader(text, path).modules(), path)

    def to_json(self) -> str:
        """The text of the file; equal content makes equal bytes."""
        modules = {handle: _plain(self.modules[handle]) for handle in sorted(self.modules)}
        document = {"version": _VERSION, "modules": modules}
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    @property
    def digests(self) -> frozenset[str]:
        """The digests of all modules that it names."""
        return frozenset(locked.digest for locked in self.modules.values())

    def find(self, handle: str | ModuleHandle) -> Locked | None:
        """What a handle stands for; None for one that is not named."""
        if isinstance(handle, str):
            handle = ModuleHandle.parse(handle)
        return self.modules.get(str(handle))

    def pin(
        self, handle: str | ModuleHandle, digest: str | None = None
    ) -> tuple[ModuleHandle, str]:
        """The handle and the digest to resolve in place of a handle.

        Args:
          handle: a handle that the file must name.
          digest: digest that is given beside the file; None for none.

        Raises:
          HandleError: the handle cannot be parsed.
          ConfigError: the file does not name the handle, or names another digest.
        """
        if isinstance(handle, str):
            handle = ModuleHandle.parse(handle)
        locked = self.find(handle)
        if locked is None:
            raise ConfigError(
                f"{handle} is not in the lock file {self.path}: use "
                "`hub-tfx resolve HANDLE --lock FILE` to put it there"
            )
        if digest not in (None, locked.digest):
            raise ConfigError(
                f"{handle}: the digest {digest} is given, but the lock file {self.path} has "
                f"{locked.digest}: give the lock file only, or lock the handle again"
            )
        return ModuleHandle.parse(locked.resolved) if locked.resolved else handle, locked.digest

    def resolve(self, cache: "ModuleCache", handle: str | ModuleHandle) -> ResolvedModule:
        """Resolves a handle at the digest that the file names.

        Raises:
          HubTfxError: see ``pin`` and ``ModuleCache.resolve``.
        """
        pinned, digest = self.pin(handle)
        return cache.resolve(pinned, digest=digest)


def resolve_and_lock(
    cache: "ModuleCache",
    handles: Sequence[str],
    path: str | os.PathLike[str],
    *,
    digest: str | None = None,
    refresh: bool = False,
) -> list[ResolvedModule]:
    """Resolves handles, and writes to a lock file what they stand for.

    Args:
      cache: where modules are kept.
      handles: the handles. One that the file names is resolved at the digest that it names.
      path: the file, which is made if it is missing.
      digest: digest that every module must have; any if None.
      refresh: whether handles are resolved as if the file named none, and new bytes are followed.

    Raises:
      HubTfxError: see ``ModuleCache.resolve`` and ``LockFile.read``; the file is left as it is.
    """
    lock = LockFile.read(path) if os.path.lexists(path) else LockFile({}, os.fspath(path))
    modules, locked = [], dict[str, Locked]()
    for handle in map(ModuleHandle.parse, handles):
        if refresh:
            module = cache.resolve(handle, new_bytes="follow")
        else:
            known = lock.find(handle) is not None
            pinned, wanted = lock.pin(handle, digest) if known else (handle, digest)
            module = cache.resolve(pinned, digest=wanted)
        entry = Locked.of(handle, module)
        if locked.setdefault(str(handle), entry) != entry:
            raise ConfigError(
                f"two handles are {handle} without what may be a credential, and stand for two "
                "modules: give one of them another path"
            )
        modules.append(module)
    add_to_lock_file(path, locked)
    return modules


def add_to_lock_file(path: str | os.PathLike[str], modules: Mapping[str, Locked]) -> None:
    """Writes modules to a lock file, beside those that it names already.

    Args:
      path: the file; it is made if it is missing. It is replaced in one step, and of processes that
        write it at once none loses what another one wrote.
      modules: handle, without secrets -> what it stands for from now on.

    Raises:
      ConfigFileError: what is there is not a lock file, and is left as it is.
      OutputError: the file cannot be written.
    """
    check_output_name(path)
    target = Path(path)
    try:
        with _alone(target.parent):
            earlier = LockFile.read(path).modules if os.path.lexists(target) else {}
            lock = LockFile({**earlier, **modules}, os.fspath(path))
            with replacing(target) as temporary:
                temporary.write_text(lock.to_json(), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"the lock file {target} cannot be written: {why(error)}; name a file in a directory "
            "that you may write to"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Held by one process at a time, where the filesystem of the folder has locks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _plain(locked: Locked) -> dict[str, str]:
    resolved = {} if locked.resolved is None else {"resolved": locked.resolved}
    return {"digest": locked.digest, **resolved}


class _Reader:
    """Reads one text, and says of each mistake where it is."""

    def __init__(self, text: str, path: str):
        self._text = text
        self._path = path

    def modules(self) -> dict[str, Locked]:
        document = self._document()
        self._check_keys(document, _KEYS, "a lock file")
        if document.get("version") != _VERSION or type(document["version"]) is not int:
            self._fail(
                "version", f"version is not {_VERSION}, the only one that this hub-tfx reads"
            )
        modules = document.get("modules")
        if not isinstance(modules, dict):
            self._fail("modules", "modules is not an object of handles and what they stand for")
        return {handle: self._locked(handle, entry) for handle, entry in modules.items()}

    def _document(self) -> dict[str, Any]:
        try:
            document = json.loads(self._text, object_pairs_hook=self._once)
        except json.JSONDecodeError as error:
            raise self._error(error.lineno, f"it is not JSON: {error.msg}") from None
        except (RecursionError, ValueError):
            raise self._error(
                1, "it is not a lock file: it is nested or long without end"
            ) from None
        if not isinstance(document, dict):
            raise self._error(1, "it is not an object with the keys version and modules")
        return document

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self._fail(key, f"{quoted(key)} is there twice")
            found[key] = value
        return found

    def _locked(self, handle: str, entry: object) -> Locked:
        self._check_handle(handle, handle)
        if not isinstance(entry, dict):
            self._fail(handle, f"{quoted(handle)} is not an object with the key digest")
        self._check_keys(entry, _MODULE_KEYS, quoted(handle), handle)
        digest, resolved = entry.get("digest"), entry.get("resolved")
        if not is_digest(digest):
            self._fail(handle, f"{quoted(handle)} has a digest that is not 64 hex digits")
        if resolved is not None:
            self._check_handle(resolved, handle)
        return Locked(str(digest), resolved)

    def _check_handle(self, text: object, under: str) -> None:
        """Fails for what is not written as a lock file has it, and quotes no credential."""
        try:
            shown = str(ModuleHandle.parse(text)) if isinstance(text, str) else None
        except HandleError as error:
            self._fail(under, f"a handle cannot be read: {error}")
        if shown is None:
            self._fail(under, f"{quoted(under)} has a resolved that is not a handle")
        if shown != text:
            self._fail(
                under,
                f"a handle is written in another way than {quoted(shown)}, and may hold a "
                "credential or depend on a directory",
            )

    def _check_keys(
        self, entry: Mapping[str, Any], known: tuple[str, ...], what: str, under: str = ""
    ) -> None:
        for key in entry:
            if key not in known:
                self._fail(key, f"{what} has no key {quoted(key)}", under)

    def _fail(self, key: str, why: str, under: str = "") -> NoReturn:
        raise self._error(self._line(key, under), why)

    def _error(self, line: int, why: str) -> ConfigFileError:
        return ConfigFileError([f"{self._path}:{line}: {why}: {_LOCK_AGAIN}"])

    def _line(self, key: str, under: str) -> int:
        """The line of a key, of one below another where that is given; 1 if it is not found."""
        start = max(0, self._text.find(_written(under))) if under else 0
        return self._text.count("\n", 0, max(0, self._text.find(_written(key), start))) + 1


def _written(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)
