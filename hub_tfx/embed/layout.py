"""Which files an output is made of."""

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apache_beam.io.filesystems import FileSystems

from hub_tfx.embed.files import is_local, read_bytes
from hub_tfx.embed.source import DEAD_LETTERS
from hub_tfx.embed.transform import EMBEDDINGS

OutputFormat = Literal["parquet", "tfrecord"]
MADE_BY = "hub_tfx"
MANIFEST_NAME = "manifest.json"
TEMPORARY = ".tmp-"
"""What the names of files and folders begin with that are gone when a job ends."""
_PART = re.compile(r"(embeddings|dead_letters)-\d{5,}-of-\d{5,}\.(parquet|tfrecord\.gz)$")
_ENDINGS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz"}


@dataclass(frozen=True)
class OutputLayout:
    """Where the files of one output go, on any Beam filesystem.

    Attributes:
      folders: ``embeddings`` and ``dead_letters`` -> folder of its parts.
      manifest: path of the manifest.
      temporary: a folder for what is not committed yet.
      format: of the parts.
    """

    folders: Mapping[str, str]
    manifest: str
    temporary: str
    format: OutputFormat

    @classmethod
    def of_split(cls, embeddings: str, dead_letters: str, split: str) -> "OutputLayout":
        """``Split-{split}/`` of two Examples artifacts.

        Every file in there is data, so the manifest is ``{embeddings}/manifest-{split}.json``.
        """
        return cls(
            folders={
                EMBEDDINGS: FileSystems.join(embeddings, f"Split-{split}"),
                DEAD_LETTERS: FileSystems.join(dead_letters, f"Split-{split}"),
            },
            manifest=FileSystems.join(embeddings, f"manifest-{split}.json"),
            temporary=FileSystems.join(embeddings, f"{TEMPORARY}{uuid.uuid4().hex}"),
            format="tfrecord",
        )

    @classmethod
    def of_directory(cls, output: str, output_format: OutputFormat) -> "OutputLayout":
        """``embeddings-?????-of-?????.parquet``, ``dead_letters/…`` and ``manifest.json``."""
        return cls(
            folders={
                EMBEDDINGS: output,
                DEAD_LETTERS: FileSystems.join(output, DEAD_LETTERS),
            },
            manifest=FileSystems.join(output, MANIFEST_NAME),
            temporary=FileSystems.join(output, f"{TEMPORARY}{uuid.uuid4().hex}"),
            format=output_format,
        )

    def part(self, kind: str, index: int, count: int) -> str:
        name = f"{kind}-{index:05d}-of-{count:05d}{_ENDINGS[self.format]}"
        return str(FileSystems.join(self.folders[kind], name))

    def parts_there(self, kind: str) -> list[str]:
        """Paths of the parts that are in the folder, of any job and format, sorted."""
        folder = self.folders[kind]
        if is_local(folder):  # Whose name may hold characters that a glob gives a meaning.
            paths = [str(path) for path in Path(folder).iterdir()]
        else:
            found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
            paths = [metadata.path for metadata in found]
        return [path for path in sorted(paths) if _PART.match(FileSystems.split(path)[1])]


def is_ours(path: Path) -> bool:
    """Whether a file in an output folder is one that a job of ours left there."""
    if path.name == MANIFEST_NAME:
        try:
            return bool(json.loads(path.read_text())["made_by"] == MADE_BY)
        except (OSError, ValueError, KeyError, TypeError):
            return False
    return path.name.startswith(TEMPORARY) or _PART.match(path.name) is not None


def read_manifest(layout: OutputLayout) -> dict[str, Any]:
    """The manifest of a committed output."""
    manifest: dict[str, Any] = json.loads(read_bytes(layout.manifest))
    return manifest
