"""One entry of the cache: a directory named by the digest, complete or not there at all.

<digest>/module/…        the module's files
<digest>/manifest.json   names and hashes of these; the SHA-256 of this file is <digest>
<digest>/verdict-….json  whether it may be loaded; see verdicts.py
<digest>/spec-2.json     the signatures, so that a hit need not read the graph; the number goes up
                         when inspect reads more out of the same graph than before
<digest>/stamps.json     what the files looked like when their bytes were known, see module/hashes;
                         and the SHA-256 of the signatures

``read_entry`` decides what a hit is. A quick check hashes the files whose stamp is not that of
stamps.json; a full one believes nothing beside the module but the manifest, and hashes each file
that this process has not hashed before.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from hub_tfx._files import read_regular, replacing, sync, sync_tree
from hub_tfx.errors import NotAModuleError, UnsafeModuleError
from hub_tfx.module.examine import Examined, examine
from hub_tfx.module.hashes import Stamp, hash_once, wait_for_tick
from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.module.safety import Verdict
from hub_tfx.module.spec import ModuleSpec
from hub_tfx.store.owner import Trust, is_shared
from hub_tfx.store.verdicts import write_verdict

_MANIFEST = "manifest.json"
_SPEC = "spec-2.json"
_STAMPS = "stamps.json"
_MOST_EXAMINED = 1000
_examined: dict[str, Examined] = {}
"""Digest -> what this process has read from the graph."""


class DamagedEntryError(Exception):
    """A damaged entry; the cache replaces it, or tells the user what the message says."""


@dataclass(frozen=True)
class Entry:
    """A complete entry."""

    directory: Path
    manifest: Manifest
    spec: ModuleSpec
    verdict: Verdict | None = None
    """Read from the graph by this process; None where what lies beside the module is believed."""

    @property
    def path(self) -> Path:
        return module_path(self.directory)


def module_path(directory: Path) -> Path:
    return directory / "module"


def finish_entry(directory: Path, *, is_trusted: bool = False) -> Entry:
    """Makes an entry of a directory whose ``module`` is filled: hashed, described, on the disk.

    Args:
      directory: the entry's.
      is_trusted: whether a small graph is read in this process; see run_limited.

    Raises:
      NotAModuleError: the directory does not hold a module.
      UnsafeModuleError: reading it takes more memory or time than any real module needs.
      InputError: a file cannot be read back.
    """
    module = module_path(directory)
    examined = examine(module, is_trusted=is_trusted)
    write_verdict(directory, examined.verdict)
    _set_modes(directory)
    wait_for_tick()
    stamps = {path: Stamp.of(status) for path, status in _files(module)}
    manifest = Manifest.of_directory(module, once=True)  # Later: what changes from here on shows.
    _write(directory / _MANIFEST, manifest.to_json())
    _write(directory / _SPEC, examined.spec.to_json())
    _write(directory / _STAMPS, _stamps_json(stamps, examined.spec))
    sync_tree(directory)
    return Entry(directory, manifest, examined.spec, examined.verdict)


def read_entry(directory: Path, trust: Trust, *, full: bool = False) -> Entry | None:
    """The entry in a directory, or None.

    Args:
      directory: the directory.
      trust: whose files are read.
      full: whether somebody relies on the digest, so that the bytes themselves are checked.

    Raises:
      DamagedEntryError: the entry is not as it was committed.
      RefusedError: somebody else may have made it or may change it.
    """
    if not _is_there(directory, trust):
        return None
    manifest = read_manifest(directory)
    recorded, spec_sha256 = ({}, "") if full else _recorded(directory)
    stamps: dict[str, Stamp] = {}
    for entry, path, status in expected_files(directory, manifest, trust):
        stamps[entry.path] = Stamp.of(status)
        if stamps[entry.path] == recorded.get(entry.path):
            continue
        if hash_once(path)[1] != entry.sha256:
            raise DamagedEntryError(f"{entry.path} does not have the bytes that it should")
    if full:
        examined = _read_graph(directory, manifest.digest)
        return Entry(directory, manifest, examined.spec, examined.verdict)
    spec = _known_spec(directory, spec_sha256) or _read_graph(directory, manifest.digest).spec
    if stamps != recorded or not spec_sha256:
        record_stamps(directory, stamps, spec)
    return Entry(directory, manifest, spec)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an entry, which has the digest of its name; see ``read_entry``."""
    try:
        text = read_regular(directory / _MANIFEST, follow_link=False).decode()
        manifest = Manifest.from_json(text)
    except (OSError, ValueError) as error:
        raise DamagedEntryError(f"its {_MANIFEST} cannot be read") from error
    if manifest.digest != directory.name:
        raise DamagedEntryError(f"its {_MANIFEST} was changed")
    return manifest


def expected_files(
    directory: Path, manifest: Manifest, trust: Trust
) -> Iterator[tuple[FileEntry, Path, os.stat_result]]:
    """Every file of the manifest, after all names, sizes and owners are found to be right."""
    module = module_path(directory)
    expected = {entry.path: entry for entry in manifest.files}
    actual = dict(_files(module))
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            raise DamagedEntryError(f"{path} is missing")
        if path not in expected or not stat.S_ISREG(actual[path].st_mode):
            raise DamagedEntryError(f"{path} does not belong there")
        trust.check(module / path, actual[path])
        if actual[path].st_size != expected[path].size_bytes:
            raise DamagedEntryError(f"{path} does not have the size that it should")
    for path in sorted(expected):
        yield expected[path], module / path, actual[path]


def record_stamps(directory: Path, stamps: Mapping[str, Stamp], spec: ModuleSpec) -> None:
    """Records what files look like whose bytes are right, where the cache can be written."""
    known = (dict(stamps), _sha256(spec.to_json()))
    if not all(stamp.is_settled for stamp in stamps.values()) or _recorded(directory) == known:
        return
    with suppress(OSError):
        for name, text in ((_SPEC, spec.to_json()), (_STAMPS, _stamps_json(stamps, spec))):
            with replacing(directory / name) as temporary:
                _write(temporary, text)


def forget_stamps(directory: Path) -> None:
    """Has the next hit hash every file."""
    with suppress(OSError):
        (directory / _STAMPS).unlink(missing_ok=True)
        sync(directory)


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(_mode(0o644))


def _is_there(directory: Path, trust: Trust) -> bool:
    try:
        status = directory.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    trust.check(directory, status)
    if not stat.S_ISDIR(status.st_mode):
        raise DamagedEntryError("it is not a directory")
    for name in ("module", _MANIFEST, _SPEC, _STAMPS):
        with suppress(FileNotFoundError):
            status = (directory / name).lstat()
            if stat.S_ISLNK(status.st_mode):
                raise DamagedEntryError(f"its {name} is a symbolic link")
            trust.check(directory / name, status)
    return True


def _files(module: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Whatever is in a module but directories, by its path in there. No link is followed."""
    for folder, folders, names in os.walk(module):
        for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            path = os.path.join(folder, name)
            yield Path(path).relative_to(module).as_posix(), os.lstat(path)


def _stamps_json(stamps: Mapping[str, Stamp], spec: ModuleSpec) -> str:
    files = {path: list(astuple(stamp)) for path, stamp in stamps.items()}
    return json.dumps({"files": files, "spec_sha256": _sha256(spec.to_json())})


def _recorded(directory: Path) -> tuple[dict[str, Stamp], str]:
    """The stamps of an entry, and the SHA-256 of its signatures; empty if they cannot be read."""
    try:
        document = json.loads(read_regular(directory / _STAMPS, follow_link=False))
        stamps = {path: Stamp(*numbers) for path, numbers in document["files"].items()}
        return stamps, str(document["spec_sha256"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}, ""


def _known_spec(directory: Path, sha256: str) -> ModuleSpec | None:
    """The signatures, if they are those that were recorded with the stamps."""
    try:
        text = read_regular(directory / _SPEC, follow_link=False).decode()
        return ModuleSpec.from_json(text) if _sha256(text) == sha256 else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # It is lost, or of another version of hub_tfx.


def _read_graph(directory: Path, digest: str) -> Examined:
    """The signatures and the verdict as the graph has them, which is read once a process."""
    if (known := _examined.get(digest)) is not None:
        return known
    try:
        examined = examine(module_path(directory))
    except (NotAModuleError, UnsafeModuleError) as error:
        raise DamagedEntryError("its saved_model.pb cannot be read") from error
    if len(_examined) >= _MOST_EXAMINED:
        _examined.clear()
    return _examined.setdefault(digest, examined)


def _set_modes(directory: Path) -> None:
    """Lets nobody write whom the cache does not trust, whatever the umask says."""
    for folder, _, names in os.walk(directory):
        os.chmod(folder, _mode(0o755))
        for name in names:
            path = os.path.join(folder, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                os.chmod(path, _mode(0o644))


def _mode(mode: int) -> int:
    """A mode, which a group that shares the cache may write, too."""
    return mode | stat.S_IWGRP if is_shared() else mode


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
