"""The files by which a module's directory is known."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

SAVED_MODEL = "saved_model.pb"
SAVED_MODEL_TEXT = "saved_model.pbtxt"
TF1_HUB_MARKER = "tfhub_module.pb"
"""Beside ``saved_model.pb`` in the TF1 hub format only."""
_DEPTH = 4
_VISITED = 1000
"""Folders in which a module is looked for."""
_NAMED = 3


def holds_module(directory: Path) -> bool:
    """Whether a directory has the file that every SavedModel has; its content is not looked at."""
    return any((directory / name).is_file() for name in (SAVED_MODEL, SAVED_MODEL_TEXT))


def why_no_module(directory: Path) -> str:
    """In words: what a directory lacks to be a module, and which folder near it does not."""
    lacks = f"it does not hold {SAVED_MODEL}"
    if holds_module(directory.parent):
        return f"{lacks}, but the directory that it is in does"
    folders = modules_below(directory)
    if not folders:
        return lacks
    if len(folders) == 1:
        return f"{lacks}, but its folder {folders[0]!r} does"
    more = f" and {len(folders) - _NAMED} more" if len(folders) > _NAMED else ""
    return f"{lacks}, but its folders {', '.join(map(repr, folders[:_NAMED]))}{more} do"


def modules_below(directory: Path) -> list[str]:
    """The folders of a directory that hold modules, by name, as far as a short look finds them."""
    return sorted(_modules_below(directory))


def _modules_below(directory: Path) -> Iterator[str]:
    for folder, folders, _ in islice(os.walk(directory), _VISITED):
        below = os.path.relpath(folder, directory)
        if holds_module(Path(folder)):
            yield below
            folders.clear()
        elif below.count(os.sep) >= _DEPTH - 1:
            folders.clear()
