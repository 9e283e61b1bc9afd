"""Which files an output is made of.

The name of a part has a tag, which depends on its bytes. So the parts of a new output never take
the names of an earlier one's, and both are there until the manifest says which of them counts.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from hub_tfx._files import odd_name
from hub_tfx.data.filesystems import paths_in, read_bytes
from hub_tfx.embed.dead_letters import DEAD_LETTERS
from hub_tfx.embed.manifest import MADE_BY, OutputFormat, OutputManifest
from hub_tfx.errors import InputError

MANIFEST_NAME = "manifest.json"
REPORT, PROJECTOR = "report", "projector"
"""Folders in an output that describe what is in it."""
TEMPORARY = ".tmp-"
"""Prefix of files and folders that are removed before a job has succeeded."""
LOCK, LEASE = f"{TEMPORARY}lock", f"{TEMPORARY}run.json"
"""What says that a run is writing: a lock on this machine, and a file in a bucket."""
EMBEDDINGS = "embeddings"
DIGESTS = "digests"
_PART = re.compile(  # Outputs of hub_tfx 0.1.0 have parts without a tag.
    r"(embeddings|dead_letters|digests)(-\d{5,}-of-\d{5,}(?:-[0-9a-f]{12})?)"
    r"\.(parquet|tfrecord\.gz|bin)"
)
_TEMPORARY = re.compile(rf"{re.escape(TEMPORARY)}(lock|run\.json|[0-9a-f]+)")
_MANIFEST = re.compile(r"manifest(?:-(.+))?\.json")
_ENDINGS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz"}


@dataclass(frozen=True)
class OutputLayout:
    """Where the files of one output go, on any Beam filesystem.

    Attributes:
      folders: ``embeddings``, ``dead_letters`` and ``digests`` -> folder of its parts.
      manifest: path of the manifest.
      temporary: folder for what is not committed yet.
      format: format of the parts.
    """

    folders: Mapping[str, str]
    manifest: str
    temporary: str
    format: OutputFormat

    @classmethod
    def of_split(cls, embeddings: str, dead_letters: str, split: str) -> "OutputLayout":
        """The layout of one split, ``Split-{split}/`` of two Examples artifacts.

        Every file in there is data, so ``digests-{split}/`` and ``manifest-{split}.json`` are
        beside it.
        """
        return cls(
            folders={
                EMBEDDINGS: FileSystems.join(embeddings, f"Split-{split}"),
                DEAD_LETTERS: FileSystems.join(dead_letters, f"Split-{split}"),
                DIGESTS: FileSystems.join(embeddings, f"{DIGESTS}-{split}"),
            },
            manifest=FileSystems.join(embeddings, f"manifest-{split}.json"),
            temporary=FileSystems.join(embeddings, f"{TEMPORARY}{uuid.uuid4().hex}"),
            format="tfrecord",
        )

    @classmethod
    def of_directory(
        cls, output: str, output_format: OutputFormat, job: str = ""
    ) -> "OutputLayout":
        """The layout of a directory, which gets files of these names.

        They are ``embeddings-?????-of-?????.parquet``, ``dead_letters/…``, ``digests/…`` and
        ``manifest.json``.

        Args:
          output: the directory.
          output_format: format of the parts.
          job: name of the temporary folder; the same for jobs that make the same of a row.
        """
        return cls(
            folders={
                EMBEDDINGS: output,
                DEAD_LETTERS: FileSystems.join(output, DEAD_LETTERS),
                DIGESTS: FileSystems.join(output, DIGESTS),
            },
            manifest=FileSystems.join(output, MANIFEST_NAME),
            temporary=FileSystems.join(output, f"{TEMPORARY}{job or uuid.uuid4().hex}"),
            format=output_format,
        )

    def part(self, kind: str, index: int, count: int, tag: str) -> str:
        """Path of a part; ``tag`` is a ``tag_of``."""
        ending = ".bin" if kind == DIGESTS else _ENDINGS[self.format]
        name = f"{kind}-{index:05d}-of-{count:05d}-{tag}{ending}"
        return str(FileSystems.join(self.folders[kind], name))

    def digests_path(self, name: str) -> str:
        """Path of the digests of the rows in a part file of embeddings."""
        if not (named := _PART.fullmatch(name)):
            raise InputError(f"it names the file {name!r}, which is not a part")
        return str(FileSystems.join(self.folders[DIGESTS], f"{DIGESTS}{named[2]}.bin"))

    @property
    def split(self) -> str:
        """Name of the split; empty where the output is a directory of its own."""
        named = _MANIFEST.fullmatch(FileSystems.split(self.manifest)[1])
        assert named is not None
        return named[1] or ""

    def parts_there(self, kind: str) -> list[str]:
        """Paths of the parts that are in the folder, of any job and format, sorted."""
        paths = paths_in(self.folders[kind])
        return [path for path in paths if is_part(FileSystems.split(path)[1])]

    def parts_named(self, manifest: OutputManifest, kind: str) -> list[str]:
        """Paths of the parts of one kind that a manifest names, in the order of the rows."""
        if kind == DIGESTS:
            return [self.digests_path(file.name) for file in manifest.files if file.digests_sha256]
        files = manifest.dead_letter_files if kind == DEAD_LETTERS else manifest.files
        return [str(FileSystems.join(self.folders[kind], file.name)) for file in files]


def tag_of(*digests: str) -> str:
    """What tells the files of a part from those of one with other bytes.

    Args:
      digests: SHA-256 of each of its files.
    """
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


def committed_outputs(folder: str) -> list[tuple[OutputLayout, OutputManifest]]:
    """The outputs in a folder with their manifests: one of a job, or one for each split.

    Raises:
      InputError: a manifest is damaged, or is not of hub_tfx; or the folder's name is not UTF-8.
    """
    if (shown := odd_name(folder)) is not None:
        raise InputError(f"{shown}: its name is not valid UTF-8: rename it")
    outputs = []
    for path in paths_in(folder):
        if named := _MANIFEST.fullmatch(FileSystems.split(path)[1]):
            manifest = _read(path)
            layout = (
                OutputLayout.of_split(folder, folder, named[1])
                if named[1]
                else OutputLayout.of_directory(folder, manifest.format)
            )
            outputs.append((layout, manifest))
    return outputs


def is_part(name: str) -> bool:
    """Whether a file is named as our parts are."""
    return _PART.fullmatch(name) is not None


def is_temporary(name: str) -> bool:
    """Whether a file or a folder is named as those that a job removes in the end."""
    return _TEMPORARY.fullmatch(name) is not None


def is_manifest(path: str) -> bool:
    """Whether a file, on any filesystem, is JSON that a job of hub_tfx has written."""
    try:
        return bool(json.loads(read_bytes(path))["made_by"] == MADE_BY)
    except (OSError, BeamIOError, ValueError, KeyError, TypeError, RecursionError):
        return False


def manifest_in_place(layout: OutputLayout) -> OutputManifest | None:
    """The manifest of the output that is there, if there is one.

    Raises:
      InputError: it is damaged, or is not of hub_tfx.
    """
    return read_manifest(layout) if FileSystems.exists(layout.manifest) else None


def read_manifest(layout: OutputLayout) -> OutputManifest:
    """The manifest of a committed output; raises InputError where it is missing or damaged."""
    return _read(layout.manifest)


def _read(path: str) -> OutputManifest:
    try:
        return OutputManifest.from_json(read_bytes(path))
    except (OSError, BeamIOError, ValueError) as error:
        raise InputError(f"{path} cannot be read as the manifest of an output: {error}") from error
