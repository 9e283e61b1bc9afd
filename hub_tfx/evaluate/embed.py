"""Rows of one reading of an input, embedded by both modules, on Beam.

A sample of the rows goes through hub_tfx.embed's transform once for each module, and what came of
each row is joined by its place. The results are small: they are gathered in a folder.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems

from hub_tfx._text import printable, shortened
from hub_tfx.data.arrow import columns_of, flatten
from hub_tfx.data.filesystems import read_bytes, write_bytes
from hub_tfx.data.marks import mark_rejected
from hub_tfx.embed.dead_letters import DEAD_LETTERS, REASON
from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.output.layout import EMBEDDINGS
from hub_tfx.embed.output.read_back import as_text
from hub_tfx.embed.read import ReadRecordBatches
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.errors import IncompleteError, JobLeftRunningError
from hub_tfx.evaluate.choose import (
    PLACE,
    UNREADABLE,
    ChooseRows,
    Places,
    Placing,
    Sample,
    from_bytes,
    to_bytes,
)
from hub_tfx.evaluate.tasks import EvaluationTask

SHOWN, CONTENT = "hub_tfx.shown", "hub_tfx.content"
"""Columns of what a person is shown of a row, and of digests of what it feeds."""
_VECTOR = "vector"
_ABOUT, _TRIED, _TOTALS = "about", "tried", "totals.json"
_KINDS = (EMBEDDINGS, DEAD_LETTERS)
_TRIED_ROWS = 256
_SHOWN_CHARS = 300


@dataclass(frozen=True)
class SideRows:
    """What became of the sample in one module.

    Attributes:
      places: of the embedded rows, ascending.
      vectors: ``[rows, dim]`` float32, in that order.
      rejected: place of a rejected row -> reason.
    """

    places: Places
    vectors: np.ndarray[Any, Any]
    rejected: Mapping[int, str]


@dataclass(frozen=True)
class EmbeddedSample:
    """The sample of an input, embedded.

    Attributes:
      rows: number of a file -> all of its rows.
      about: a row for each one in the sample, in the order of the input: PLACE, SHOWN, CONTENT, and
        the features that say something about it.
      of_side: ``candidate`` and ``baseline`` -> what became of these rows.
      tried: some rows as they were read, to try the modules on; None where there is none.
    """

    rows: Mapping[int, int]
    about: pa.Table
    of_side: Mapping[str, SideRows]
    tried: pa.RecordBatch | None

    @property
    def places(self) -> Places:
        places: Places = self.about.column(PLACE).to_numpy()
        return places


class EmbedSample(beam.PTransform):  # type: ignore[misc]
    """Reads an input, embeds a sample of it with each module, and gathers what came of it."""

    def __init__(
        self,
        task: EvaluationTask,
        most: int,
        seed: int,
        group: str | None,
        folder: str,
        limits: EmbedLimits = DEFAULT_LIMITS,
    ):
        """An evaluation's share of Beam.

        Args:
          task: what is read, and what embeds it.
          most: upper bound on rows in the sample, which has to fit into the memory of a worker.
          seed: of the sample.
          group: feature whose equal values make a group, which stays whole; None for no groups.
          folder: where the results go, on any Beam filesystem; see ``read_sample``.
          limits: sizes that matter for speed and memory.
        """
        super().__init__()
        self._task, self._folder, self._limits = task, folder, limits
        numbers = {path: n for n, path in enumerate(file_paths(task))}
        self._placing = Placing(numbers, seed, group)
        self._choose = ChooseRows(most, seed)

    def expand(self, root: Any) -> Any:
        task, limits = self._task, self._limits
        read = root | "ReadRecordBatches" >> ReadRecordBatches(
            task.files, task.schema, limits.window_rows, limits
        )
        chosen = (
            read.batches
            | "Place" >> beam.Map(self._placing.placed)
            | "Sample" >> beam.CombineGlobally(self._choose)
        )
        sampled = (
            chosen
            | "Rows" >> beam.FlatMap(_batches)
            | "Spread" >> beam.Reshuffle()
            | "Decode" >> beam.Map(_marked)
        )
        gathered = {
            _ABOUT: sampled | "About" >> beam.Map(_about, task.about, task.shown, _fed(task)),
            _TRIED: chosen | "Tried" >> beam.FlatMap(_tried),
        }
        for side in task.of_side:
            embedded = sampled | f"Embed[{side}]" >> self._embed(side)
            gathered |= {
                f"{side}-{EMBEDDINGS}": embedded[EMBEDDINGS]
                | f"Vectors[{side}]" >> beam.Map(_vectors, task.vector(side).name),
                f"{side}-{DEAD_LETTERS}": embedded[DEAD_LETTERS]
                | f"Rejected[{side}]" >> beam.Map(_letters),
            }
        written = [
            rows
            | f"Gather[{name}]" >> beam.combiners.ToList()
            | f"Write[{name}]" >> beam.Map(_write, self._path(name))
            for name, rows in gathered.items()
        ]
        totals = chosen | "WriteTotals" >> beam.Map(_write_totals, self._path(_TOTALS))
        return [*written, totals]

    def _embed(self, side: str) -> EmbedRecordBatches:
        of_side = self._task.of_side[side]
        column = self._task.vector(side)
        config = replace(of_side.config, keep=(PLACE,), outputs={column.key: column.name})
        preprocessor = of_side.preprocessor
        return EmbedRecordBatches(
            of_side.module.worker_path,
            config,
            of_side.module.digest,
            preprocessor_path=preprocessor.worker_path if preprocessor else None,
            preprocessor_digest=preprocessor.digest if preprocessor else None,
            limits=self._limits,
        )

    def _path(self, name: str) -> str:
        return str(FileSystems.join(self._folder, name))


def file_paths(task: EvaluationTask) -> list[str]:
    """The files of an input by their numbers; row groups of one are one file."""
    return list(dict.fromkeys(file.path for file in task.files))


def read_sample(task: EvaluationTask, folder: str) -> EmbeddedSample:
    """What EmbedSample has left in a folder.

    Raises:
      JobLeftRunningError: it has not yet.
      IncompleteError: a row is missing, or is there twice.
    """
    try:
        totals = json.loads(read_bytes(str(FileSystems.join(folder, _TOTALS))))
        tables = {
            name: _read(folder, name)
            for name in (_ABOUT, _TRIED, *(f"{s}-{k}" for s in task.of_side for k in _KINDS))
        }
    except OSError as error:
        raise JobLeftRunningError(
            f"the runner returned, but the job has not written to {folder} ({error}): it may still "
            "run; wait for it, and run the evaluation again"
        ) from error
    about = tables[_ABOUT]
    of_side = {
        side: _side(tables[f"{side}-{EMBEDDINGS}"], tables[f"{side}-{DEAD_LETTERS}"])
        for side in task.of_side
    }
    tried = tables[_TRIED]
    sample = EmbeddedSample(
        {int(file): rows for file, rows in totals.items()},
        _no_rows(task) if about is None else about.take(np.argsort(about.column(PLACE))),
        of_side,
        None if tried is None else _marked(to_bytes(tried.combine_chunks().to_batches()[0])),
    )
    for side, rows in sample.of_side.items():
        found = np.sort(np.concatenate([rows.places, np.array([*rows.rejected], np.int64)]))
        if not np.array_equal(found, sample.places):
            raise IncompleteError(
                f"the {side} was to embed {len(sample.places)} rows, and has {len(found)}: rows "
                "were lost or counted twice; run the evaluation again"
            )
    return sample


def _side(embedded: pa.Table | None, letters: pa.Table | None) -> SideRows:
    rejected = {}
    if letters is not None:
        rejected = dict(zip(*(letters.column(n).to_pylist() for n in (PLACE, REASON)), strict=True))
    if embedded is None:
        return SideRows(np.array([], np.int64), np.zeros((0, 0), np.float32), rejected)
    places = embedded.column(PLACE).to_numpy()
    values, _ = flatten(embedded.column(_VECTOR).combine_chunks())
    vectors = values.to_numpy(zero_copy_only=False).reshape(len(places), -1)
    order = np.argsort(places)
    return SideRows(places[order], vectors[order], rejected)


def _no_rows(task: EvaluationTask) -> pa.Table:
    fields = [(PLACE, pa.int64()), (SHOWN, pa.string()), (CONTENT, pa.binary())]
    return pa.schema([*fields, *((name, pa.null()) for name in task.about)]).empty_table()


def _fed(task: EvaluationTask) -> tuple[str, ...]:
    """Features that are fed to a module."""
    fed = (name for of_side in task.of_side.values() for name in of_side.plan.features.values())
    return tuple(dict.fromkeys(fed))


def _batches(sample: Sample) -> Sequence[bytes]:
    return sample.batches


def _marked(content: bytes) -> pa.RecordBatch:
    """Rows of the sample, with the reasons for which some could not be read in their schema."""
    batch = from_bytes(content)
    reasons = columns_of(batch, [UNREADABLE])[UNREADABLE].to_pylist()
    return mark_rejected(batch, {row: why for row, why in enumerate(reasons) if why is not None})


def _about(
    batch: pa.RecordBatch, about: Sequence[str], shown: str | None, fed: Sequence[str]
) -> bytes:
    columns = columns_of(batch, [PLACE, *about])
    values = [None] * batch.num_rows
    if shown is not None:
        values = columns_of(batch, [shown])[shown].to_pylist()
    columns[SHOWN] = pa.array([_in_words(value) for value in values], pa.string())
    columns[CONTENT] = pa.array(_digests(batch, fed), pa.binary())
    names = [PLACE, SHOWN, CONTENT, *about]
    return to_bytes(pa.RecordBatch.from_arrays([columns[name] for name in names], names))


def _in_words(value: Any) -> str | None:
    if value is None:
        return None
    return shortened(printable(" ".join(as_text(value).split())), _SHOWN_CHARS)


def _digests(batch: pa.RecordBatch, fed: Sequence[str]) -> list[bytes]:
    """A digest of what each row feeds, by which rows that feed the same are known."""
    columns = [column.to_pylist() for column in columns_of(batch, fed).values()]
    return [_digest(row) for row in zip(*columns, strict=True)]


def _digest(values: Sequence[Any]) -> bytes:
    hashed = blake2b(digest_size=16)
    for value in values:
        content = value if isinstance(value, bytes) else repr(value).encode()
        hashed.update(len(content).to_bytes(8, "little") + content)
    return hashed.digest()


def _tried(sample: Sample) -> list[bytes]:
    return [to_bytes(from_bytes(batch).slice(0, _TRIED_ROWS)) for batch in sample.batches[:1]]


def _vectors(batch: pa.RecordBatch, column: str) -> bytes:
    columns = columns_of(batch, [PLACE, column])
    return to_bytes(pa.RecordBatch.from_arrays([*columns.values()], [PLACE, _VECTOR]))


def _letters(batch: pa.RecordBatch) -> bytes:
    columns = columns_of(batch, [PLACE, REASON])
    return to_bytes(pa.RecordBatch.from_arrays([*columns.values()], [*columns]))


def _write(contents: Sequence[bytes], path: str) -> None:
    """Writes record batches to one file, which is empty where there is none."""
    sink = pa.BufferOutputStream()
    batches = [from_bytes(content) for content in contents]
    if batches:
        with pa.ipc.new_stream(sink, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
    write_bytes(path, sink.getvalue().to_pybytes())


def _write_totals(sample: Sample, path: str) -> None:
    write_bytes(path, json.dumps(sample.rows).encode())


def _read(folder: str, name: str) -> pa.Table | None:
    content = read_bytes(str(FileSystems.join(folder, name)))
    if not content:
        return None
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
