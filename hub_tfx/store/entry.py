"""One entry of the cache: a directory named by the digest, complete or not there at all.

<digest>/module/…        the module's files
<digest>/manifest.json   names and hashes of these; the SHA-256 of this file is <digest>
<digest>/verdict-….json  whether it may be loaded; see verdicts.py
<digest>/spec-2.json     the signatures, so that a hit need not read the graph; the number goes up
                         when inspect reads more out of the same graph than before
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from hub_tfx._files import read_regular, sync_tree
from hub_tfx.errors import NotAModuleError, UnsafeModuleError
from hub_tfx.module.examine import examine
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleSpec
from hub_tfx.store.verdicts import write_verdict

_MANIFEST = "manifest.json"
_SPEC = "spec-2.json"


class DamagedEntryError(Exception):
    """A damaged entry; the cache replaces it, or tells the user what the message says."""


@dataclass(frozen=True)
class Entry:
    """A complete entry."""

    directory: Path
    manifest: Manifest
    spec: ModuleSpec

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
    manifest = Manifest.of_directory(module)
    (directory / _MANIFEST).write_text(manifest.to_json())
    (directory / _SPEC).write_text(examined.spec.to_json())
    write_verdict(directory, examined.verdict)
    sync_tree(directory)
    return Entry(directory, manifest, examined.spec)


def read_entry(directory: Path) -> Entry | None:
    """The entry in a directory, or None. Compares names and sizes, and reads no module file.

    Raises:
      DamagedEntryError: the entry is not as it was committed.
    """
    if not directory.is_dir():
        return None
    try:
        manifest = Manifest.from_json(read_regular(directory / _MANIFEST).decode())
    except (OSError, ValueError) as error:
        raise DamagedEntryError(f"its {_MANIFEST} cannot be read") from error
    if manifest.digest != directory.name:
        raise DamagedEntryError(f"its {_MANIFEST} was changed")
    _check_files(module_path(directory), manifest)
    return Entry(directory, manifest, _spec(directory))


def _check_files(module: Path, manifest: Manifest) -> None:
    expected = {entry.path: entry.size_bytes for entry in manifest.files}
    actual = _sizes(module)
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            raise DamagedEntryError(f"{path} is missing")
        if path not in expected:
            raise DamagedEntryError(f"{path} does not belong there")
        if actual[path] != expected[path]:
            raise DamagedEntryError(f"{path} does not have the size that it should")


def _sizes(module: Path) -> dict[str, int | None]:
    """Size of every file; None for what is not a regular file."""
    sizes: dict[str, int | None] = {}
    for folder, folders, names in os.walk(module):
        for name in names + [f for f in folders if os.path.islink(os.path.join(folder, f))]:
            path = Path(folder, name)
            status = path.lstat()
            is_file = stat.S_ISREG(status.st_mode)
            sizes[path.relative_to(module).as_posix()] = status.st_size if is_file else None
    return sizes


def _spec(directory: Path) -> ModuleSpec:
    try:
        return ModuleSpec.from_json(read_regular(directory / _SPEC).decode())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # It is lost, or of another version of hub_tfx: the module itself is what counts.
    try:
        return examine(module_path(directory)).spec
    except (NotAModuleError, UnsafeModuleError) as error:
        raise DamagedEntryError("its saved_model.pb cannot be read") from error
