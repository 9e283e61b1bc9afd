"""Folders in an output that describe what is in it, and the files in them that are ours.

A file in each lists them. It is the first to be written, so that what a killed run left is known.
"""

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import remove_temporary
from hub_tfx.data.filesystems import delete_file, is_local, make_folder, read_bytes, replace_file
from hub_tfx.embed.manifest import MADE_BY
from hub_tfx.embed.output.layout import is_manifest
from hub_tfx.module.manifest import is_inside

_LIST = ".hub_tfx.json"
_REPORT_JSON = ("report.json", "report.html")


def write_description(
    folder: str, names: Sequence[str], files: Iterable[tuple[str, bytes]]
) -> None:
    """Writes a folder on any filesystem, with these files.

    Args:
      folder: path of the folder.
      names: names of all files.
      files: a name and what the file holds, for each of them; one is held at a time.
    """
    make_folder(folder)
    listed = {"made_by": MADE_BY, "files": sorted(names)}
    replace_file(str(FileSystems.join(folder, _LIST)), json.dumps(listed).encode())
    for name, content in files:
        replace_file(str(FileSystems.join(folder, name)), content)


def remove_description(output: str, name: str) -> None:
    """Removes what ``write_description`` wrote into a folder, and the folder if it is empty."""
    folder = FileSystems.join(output, name)
    files = files_of_description(output, name)
    for file in sorted(files, key=lambda file: (file == _LIST, file)):  # The list last.
        delete_file(str(FileSystems.join(folder, file)))
    if is_local(folder) and Path(folder).is_dir():
        remove_temporary(Path(folder))
        with suppress(OSError):  # It is not empty.
            Path(folder).rmdir()


def files_of_description(output: str, name: str) -> set[str]:
    """Names of the files in a folder of an output that are ours."""
    folder = FileSystems.join(output, name)
    path = str(FileSystems.join(folder, _LIST))
    if FileSystems.exists(path) and is_manifest(path):
        listed = json.loads(read_bytes(path)).get("files")
        names = listed if isinstance(listed, list) else []
        return {_LIST, *(name for name in names if _is_file_name(name))}
    # hub_tfx 0.1.0 wrote no list.
    report = str(FileSystems.join(folder, _REPORT_JSON[0]))
    return set(_REPORT_JSON) if FileSystems.exists(report) and is_manifest(report) else set()


def _is_file_name(name: object) -> bool:
    """Whether a list, which anybody may have written, names a file of its own folder."""
    return isinstance(name, str) and "/" not in name and is_inside(name)
