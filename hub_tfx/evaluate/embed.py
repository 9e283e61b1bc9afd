"""Rows of one reading of an input, embedded by both modules, on Beam.

A sample of the rows goes through hub_tfx.embed's transform once for each module, and what came of
each row is joined by its place. The results are small: they are gathered in a folder.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
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

_Result = tuple[str, bytes]
"""Name of the file that it goes to, and a part of what that holds."""


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
        about = sampled | "About" >> beam.Map(_about, task.about, task.shown, _fed(task))
        results = [about, chosen | "OfSample" >> beam.FlatMap(_of_sample)]
        for side in task.of_side:
            embedded = sampled | f"Embed[{side}]" >> self._embed(side)
            vectors, letters = (_name(side, kind) for kind in _KINDS)
            column = task.vector(side).name
            results += [
                embedded[EMBEDDINGS] | f"Vectors[{side}]" >> beam.Map(_vectors, vectors, column),
                embedded[DEAD_LETTERS] | f"Rejected[{side}]" >> beam.Map(_letters, letters),
            ]
        # In one step, since each gathering costs a fifth of a second however few rows there are.
        gathered = results | "Together" >> beam.Flatten() | "Gather" >> beam.combiners.ToList()
        return gathered | "Write" >> beam.Map(_write, self._folder)

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


def file_paths(task: EvaluationTask) -> list[str]:
    """The files of an input by their numbers; row groups of one are one file."""
    return list(dict.fromkeys(file.path for file in task.files))


def read_sample(task: EvaluationTask, folder: str) -> EmbeddedSample:
    """What EmbedSample has left in a folder.

    Raises:
      JobLeftRunningError: it has not yet.
      IncompleteError: a row is missing, or is there twice.
    """
    sides = [*task.of_side]
    try:
        totals = json.loads(read_bytes(str(FileSystems.join(folder, _TOTALS))))
        found = {side: [_read(folder, _name(side, kind)) for kind in _KINDS] for side in sides}
        about, tried = _read(folder, _ABOUT), _read(folder, _TRIED)
    except OSError as error:
        raise JobLeftRunningError(
            f"the runner returned, but the job has not written to {folder} ({error}): it may still "
            "run; wait for it, and run the evaluation again"
        ) from error
    sample = EmbeddedSample(
        {int(file): rows for file, rows in totals.items()},
        _no_rows(task) if about is None else about.take(np.argsort(about.column(PLACE))),
        {side: _side(*tables) for side, tables in found.items()},
        None if tried is None else _marked(to_bytes(tried.combine_chunks().to_batches()[0])),
    )
    for side, rows in sample.of_side.items():
        places = np.sort(np.concatenate([rows.places, np.array([*rows.rejected], np.int64)]))
        if not np.array_equal(places, sample.places):
            raise IncompleteError(
                f"the {side} was to embed {len(sample.places)} rows, and has {len(places)}: rows "
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


def _name(side: str, kind: str) -> str:
    return f"{side}-{kind}"


def _about(
    batch: pa.RecordBatch, about: Sequence[str], shown: str | None, fed: Sequence[str]
) -> _Result:
    columns = columns_of(batch, [PLACE, *about])
    values = [None] * batch.num_rows
    if shown is not None:
        values = columns_of(batch, [shown])[shown].to_pylist()
    columns[SHOWN] = pa.array([_in_words(value) for value in values], pa.string())
    columns[CONTENT] = pa.array(_digests(batch, fed), pa.binary())
    names = [PLACE, SHOWN, CONTENT, *about]
    rows = pa.RecordBatch.from_arrays([columns[name] for name in names], names)
    return _ABOUT, to_bytes(rows)


def _in_words(value: Any) -> str | None:
    if value is None:
        return None
    text = as_text(value)[: 2 * _SHOWN_CHARS]
    return shortened(printable(" ".join(text.split())), _SHOWN_CHARS)


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


def _of_sample(sample: Sample) -> Iterator[_Result]:
    """How many rows there are, and the first of the sample."""
    yield _TOTALS, json.dumps(sample.rows).encode()
    for batch in sample.batches[:1]:
        yield _TRIED, to_bytes(from_bytes(batch).slice(0, _TRIED_ROWS))


def _vectors(batch: pa.RecordBatch, name: str, column: str) -> _Result:
    columns = columns_of(batch, [PLACE, column])
    return name, to_bytes(pa.RecordBatch.from_arrays([*columns.values()], [PLACE, _VECTOR]))


def _letters(batch: pa.RecordBatch, name: str) -> _Result:
    columns = columns_of(batch, [PLACE, REASON])
    return name, to_bytes(pa.RecordBatch.from_arrays([*columns.values()], [*columns]))


def _write(results: Sequence[_Result], folder: str) -> None:
    """Writes a file for each name: what it holds, or record batches as one stream."""
    contents: dict[str, list[bytes]] = {}
    for name, content in results:
        contents.setdefault(name, []).append(content)
    totals = contents.pop(_TOTALS)
    for name, batches in contents.items():
        write_bytes(str(FileSystems.join(folder, name)), _as_stream([*map(from_bytes, batches)]))
    # The last file, which says that all others are there.
    write_bytes(str(FileSystems.join(folder, _TOTALS)), totals[0])


def _as_stream(batches: Sequence[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _read(folder: str, name: str) -> pa.Table | None:
    """The rows of a file, which is not there where there is none."""
    path = str(FileSystems.join(folder, name))
    if not FileSystems.exists(path):
        return None
    with pa.ipc.open_stream(read_bytes(path)) as reader:
        return reader.read_all()
