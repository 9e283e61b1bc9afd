"""Rows of an earlier output, which are copied and not embedded again.

A row is known by the digest of what it feeds. An earlier output is of use where it was made in the
same way: with the same module, and a config that gives the same vectors.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils.shared import Shared

from hub_tfx.data.filesystems import check_sha256, read_bytes, verified_copy
from hub_tfx.data.readers import READERS
from hub_tfx.data.tf_example import example_type, of_example_columns
from hub_tfx.embed import digests
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.manifest import OutputManifest
from hub_tfx.embed.output.layout import EMBEDDINGS, OutputLayout
from hub_tfx.embed.output.one_module import outputs_of
from hub_tfx.embed.reuse.known import KnownRows
from hub_tfx.errors import InputError

_log = logging.getLogger(__name__)

_COMPUTATION = 1
"""Raised when a module and a config give other vectors than in earlier versions of hub_tfx."""
_NOT_IN_VECTORS = (
    "inputs",  # What feeds which input is in the digest of a row.
    "keep",
    "batch_size",
    "threads",
    "batch_bytes",
    "call_timeout_s",
    "text_encoding",
    "image_source",
    "deduplicate",
    "max_dead_letter_ratio",
)
_FIX = (
    "to embed all rows again, leave the earlier output out (--previous, or latest.json of a "
    "state_dir)"
)


@dataclass(frozen=True)
class PreviousPart:
    """A part file of an earlier output, and the digests of its rows.

    Attributes:
      path, digests_path: paths of the two files, on any Beam filesystem.
      format: ``parquet`` or ``tfrecord``.
      rows: number of rows in each.
      sha256, digests_sha256: SHA-256 of each when it was written.
    """

    path: str
    digests_path: str
    format: str
    rows: int
    sha256: str
    digests_sha256: str

    def read(
        self, schema: pa.Schema, batch_rows: int
    ) -> Iterator[tuple[digests.Digests, pa.RecordBatch]]:
        """The digests and these columns of all rows, at most ``batch_rows`` at a time.

        Raises:
          DigestMismatchError: a file has changed since it was written.
          InputError: a file cannot be read.
        """
        with _naming(self.digests_path):
            content = read_bytes(self.digests_path)
        actual = hashlib.sha256(content).hexdigest()
        check_sha256(self.digests_path, actual, self.digests_sha256, _FIX)
        of_rows = digests.from_bytes(content)
        with _naming(self.path), verified_copy(self.path, self.sha256, _FIX) as path:
            start = 0
            for batch in self._batches(path, schema, batch_rows):
                yield of_rows[start : start + batch.num_rows], batch
                start += batch.num_rows
        if not start == len(of_rows) == self.rows:
            raise InputError(
                f"{self.path} has {start} rows and {len(of_rows)} digests, not {self.rows} of "
                f"each: {_FIX}"
            )

    def _batches(self, path: str, schema: pa.Schema, batch_rows: int) -> Iterator[Any]:
        if self.format == "parquet":
            yield from READERS["parquet"].read(path, schema, batch_rows)
            return
        lists = [(f.name, pa.large_list(example_type(f.type, f.name))) for f in schema]
        for batch in READERS["tfrecord"].read(path, pa.schema(lists), batch_rows):
            yield of_example_columns(batch, schema)


@dataclass(frozen=True)
class Previous:
    """The rows of earlier outputs, of which there may be none.

    Attributes:
      parts: part files of these outputs.
      limits: sizes that matter for speed and memory.
      shared: lets all threads of a process look the rows up in one place.
    """

    parts: tuple[PreviousPart, ...] = ()
    limits: EmbedLimits = DEFAULT_LIMITS
    shared: Shared = field(default_factory=Shared, compare=False)

    def known(self, schema: pa.Schema) -> KnownRows:
        """The rows with these columns, read once in a process.

        Raises:
          DigestMismatchError, InputError: as PreviousPart.read.
        """
        known: KnownRows = self.shared.acquire(partial(self._read, schema))
        return known

    def _read(self, schema: pa.Schema) -> KnownRows:
        known = KnownRows(schema, self.limits)
        for part in self.parts:
            for of_rows, batch in part.read(schema, self.limits.previous_rows):
                known.add(of_rows, dict(zip(schema.names, batch.columns, strict=True)))
        known.earlier = known.rows
        return known


def vectors_fingerprint(
    config: EmbedConfig, signature: str, module: str, preprocessor: str | None
) -> dict[str, Any]:
    """What vectors depend on, other than the rows, as plain JSON.

    Args:
      config: config of the job.
      signature: name of the signature that is called.
      module, preprocessor: digests of the modules.
    """
    fields = json.loads(config.to_json())
    return {
        **{name: fields[name] for name in fields if name not in _NOT_IN_VECTORS},
        "module": module,
        "preprocessor": preprocessor,
        "signature": signature,
        "hub_tfx's computation": _COMPUTATION,
    }


def find_previous(
    folder: str,
    fingerprint: Mapping[str, Any],
    *,
    required: bool = False,
    limits: EmbedLimits = DEFAULT_LIMITS,
) -> Previous:
    """Finds the earlier outputs in a folder: one of a job, or those of all splits of Examples.

    In a root of embeddings they are those of the latest generation.

    Where none of them can be used, a warning says why.

    Args:
      folder: a folder on any Beam filesystem.
      fingerprint: ``vectors_fingerprint`` of the job that wants to use them.
      required: whether there must be an earlier output.
      limits: sizes that matter for speed and memory.

    Raises:
      InputError: an earlier output is required and missing, or a manifest is damaged.
    """
    try:
        outputs = outputs_of(folder)
        usable = [of_output for of_output in outputs if of_output[1].made_with == fingerprint]
        parts = [part for layout, manifest in usable for part in _parts(layout, manifest)]
    except InputError as error:
        raise InputError(
            f"the earlier output in {folder} does not have a whole manifest: {error}; {_FIX}"
        ) from error
    if required and not outputs:
        raise InputError(f"there is no earlier output in {folder}: {_FIX}")
    if not usable:
        before = outputs[0][1].made_with if outputs else None
        why = _why(before, fingerprint) if outputs else f"there is no earlier output in {folder}"
        _log.warning("nothing is copied, all rows are embedded: %s", why)
    return Previous(tuple(parts), limits)


def _parts(layout: OutputLayout, manifest: OutputManifest) -> Iterator[PreviousPart]:
    for file in manifest.files:
        if file.digests_sha256 is None:
            raise InputError(f"it names no digests for {file.name}")
        yield PreviousPart(
            path=FileSystems.join(layout.folders[EMBEDDINGS], file.name),
            digests_path=layout.digests_path(file.name),
            format=layout.format,
            rows=file.rows,
            sha256=file.sha256,
            digests_sha256=file.digests_sha256,
        )


def _why(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> str:
    if before is None:
        return "the earlier output was written without digests of its rows"
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return f"{' and '.join(changed)} changed since the earlier output was made"


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, BeamIOError, ValueError, InputError) as error:
        raise InputError(f"the earlier output {path} cannot be read: {error}; {_FIX}") from error
