"""From what became of a sample in both modules to the rows that are measured."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx._text import quoted
from hub_tfx.data.arrow import is_bytes, is_number, leaf_type
from hub_tfx.embed.dead_letters import check_rejected
from hub_tfx.embed.output.read_back import as_text
from hub_tfx.errors import ConfigError, InputError, RejectedRowsError
from hub_tfx.evaluate.choose import Places, file_and_row, sole_value
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.embed import CONTENT, SHOWN, EmbeddedSample, file_paths
from hub_tfx.evaluate.result import SanityCheck
from hub_tfx.evaluate.rows import EvaluatedRows
from hub_tfx.evaluate.tasks import BASELINE, CANDIDATE, EvaluationTask

_REASONS = 20
_OTHER_REASONS = "other reasons"
_BY_THE_MODULE = "the module "
"""How reasons begin for rows that could be fed."""


def check_types(task: EvaluationTask, config: EvaluateConfig) -> None:
    """Raises ConfigError where features cannot be what they are named for."""
    uses = {"label": config.label, "pairs": config.pairs}
    for key, name in [*uses.items(), *(("slices", feature) for feature in config.slices)]:
        if name is None:
            continue
        given = task.schema.field(name).type
        leaf, depth = leaf_type(given)
        types = pa.types
        is_plain = is_bytes(leaf) or is_number(leaf) or types.is_boolean(leaf)
        is_plain |= types.is_null(leaf) or types.is_decimal(leaf)
        if depth > 1 or not (is_plain or types.is_temporal(leaf)):
            raise ConfigError(f"{key} {name!r} holds {given}: name a feature of texts or numbers")
    fed = {name for of in task.of_side.values() for name in of.plan.features.values()}
    if config.label in fed:
        raise ConfigError(
            f"label {config.label!r} is what the modules are fed, which tells nothing of them: "
            "name another feature"
        )


def check_sample(task: EvaluationTask, sample: EmbeddedSample) -> None:
    """Refuses a sample of which too many rows were rejected, or that has no row.

    Raises:
      InputError: there is no row.
      RejectedRowsError: as many were rejected as may not be; see EmbedConfig.
    """
    if not len(sample.about):
        raise InputError(f"there is no row in {', '.join(file_paths(task))}")
    rejected = _rejected(sample)
    limit = task.of_side[CANDIDATE].config.max_dead_letter_ratio
    try:
        check_rejected(len(rejected), len(sample.about), limit, "nothing was evaluated")
    except RejectedRowsError as error:
        place = min(rejected)
        file, row = file_and_row(place)
        first = f"{file_paths(task)[file]}:{row + 1}: {rejected[place]}"
        raise RejectedRowsError(f"{error} (the first is {first})") from error


def rows_of(task: EvaluationTask, sample: EmbeddedSample, config: EvaluateConfig) -> EvaluatedRows:
    """The rows that both modules have embedded, in the order of the input.

    Raises:
      ConfigError: labels are fractions.
    """
    rejected = _rejected(sample)
    is_fine = ~np.isin(sample.places, np.array([*rejected], np.int64))
    places, about = sample.places[is_fine], sample.about.filter(pa.array(is_fine))
    vectors = {
        side: of.vectors[np.searchsorted(of.places, places)] for side, of in sample.of_side.items()
    }
    labels = None if config.label is None else _values(about, config.label)
    _check_whole(labels or (), config.label)
    return EvaluatedRows(
        vectors[CANDIDATE],
        vectors.get(BASELINE),
        labels=labels,
        groups=None if config.pairs is None else _values(about, config.pairs),
        slices={name: _texts(about, name) for name in config.slices},
        shown=[*_shown(task, about.column(SHOWN).to_pylist(), places)],
        content=about.column(CONTENT).to_pylist(),
        positions=_positions(sample, places).tolist(),
        total=sum(sample.rows.values()),
        left_out=_counted(rejected.values()),
    )


def check_of_rejected(sample: EmbeddedSample) -> SanityCheck:
    """Whether the candidate rejects rows that others embed; they are in no other measure.

    Beside a baseline it may reject as many as that does. Alone it may reject none that could be
    fed.
    """
    of = {side: {*rows.rejected} for side, rows in sample.of_side.items()}
    total = len(sample.about)
    if BASELINE in of:
        mine, other = of[CANDIDATE] - of[BASELINE], of[BASELINE] - of[CANDIDATE]
        found, beside = f"{len(mine):,} of {total:,}", f"{len(other):,} of {total:,}"
        is_fine = len(mine) <= len(other)
    else:
        reasons = sample.of_side[CANDIDATE].rejected
        mine = {place for place, why in reasons.items() if why.startswith(_BY_THE_MODULE)}
        found, beside, is_fine = f"{len(mine):,} of {total:,}", None, not mine
    why = ""
    if not is_fine:
        first = sample.of_side[CANDIDATE].rejected[min(mine)]
        why = f"it rejects {len(mine):,} of {total:,} rows by itself, the first since {first}"
    return SanityCheck("rows that it rejects by itself", found, beside, is_fine, why)


def _rejected(sample: EmbeddedSample) -> dict[int, str]:
    """Place -> reason, of rows that a module has rejected."""
    of = {side: rows.rejected for side, rows in sample.of_side.items()}
    reasons: dict[int, str] = {}
    for side, rejected in of.items():
        for place, why in rejected.items():
            by_both = all(place in other for other in of.values())
            reasons.setdefault(place, why if by_both else f"the {side}: {why}")
    return reasons


def _counted(reasons: Iterator[str] | Any) -> dict[str, int]:
    counts = Counter(reasons).most_common()
    counted = dict(counts[:_REASONS])
    if len(counts) > _REASONS:
        counted[_OTHER_REASONS] = sum(rows for _, rows in counts[_REASONS:])
    return counted


def _positions(sample: EmbeddedSample, places: Places) -> Any:
    """Numbers of rows in the whole input, from 0."""
    files = max(sample.rows, default=0) + 1
    rows = np.array([sample.rows.get(file, 0) for file in range(files)], np.int64)
    first = np.cumsum(rows) - rows
    found = [file_and_row(int(place)) for place in places]
    return np.array([first[file] + row for file, row in found], np.int64)


def _shown(task: EvaluationTask, texts: Sequence[str | None], places: Places) -> Iterator[str]:
    paths = file_paths(task)
    for text, place in zip(texts, places.tolist(), strict=True):
        file, row = file_and_row(place)
        yield text or f"{paths[file]}:{row + 1}"


def _values(about: pa.Table, name: str) -> list[Any]:
    """The one value of each row; None for rows that have none, or several."""
    return [sole_value(value) for value in about.column(name).to_pylist()]


def _check_whole(labels: Sequence[Any], name: str | None) -> None:
    fractions = (value for value in labels if isinstance(value, float) and value == value)
    if (found := next(fractions, None)) is not None:
        raise ConfigError(
            f"label {name!r} holds {quoted(found)}, and classes are texts or whole numbers: name "
            "another feature"
        )


def _texts(about: pa.Table, name: str) -> list[str | None]:
    """The value of each row, or several in words; None for rows that have none."""
    return [_text(value) for value in about.column(name).to_pylist()]


def _text(value: Any) -> str | None:
    one = sole_value(value)
    if one is None and value:  # A list of several.
        one = value
    return None if one is None else as_text(one)
