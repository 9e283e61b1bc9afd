"""The files by which a module's directory is known."""

from pathlib import Path

SAVED_MODEL = "saved_model.pb"
SAVED_MODEL_TEXT = "saved_model.pbtxt"
TF1_HUB_MARKER = "tfhub_module.pb"
"""Beside ``saved_model.pb`` in the TF1 hub format only."""


def holds_module(directory: Path) -> bool:
    """Whether a directory has the file that every SavedModel has; its content is not looked at."""
    return any((directory / name).is_file() for name in (SAVED_MODEL, SAVED_MODEL_TEXT))
