"""Rows that need no call of the module: known rows, and duplicates of another row."""

from collections.abc import Callable

import numpy as np

from hub_tfx.embed.digests import Digests
from hub_tfx.embed.reuse.known import KnownRows
from hub_tfx.embed.rows import EmbeddedRows, Rows, merge, take


def embed_unknown(
    known: KnownRows,
    digests: Digests,
    embed: Callable[[Rows], EmbeddedRows],
    *,
    deduplicate: bool = False,
) -> EmbeddedRows:
    """Copies the rows that are known, and embeds the others.

    Args:
      known: rows that were embedded before.
      digests: digests of all rows.
      embed: embeds some rows; its result counts them from 0.
      deduplicate: whether only one of rows with equal digests is embedded, and the others copied.
    """
    positions = known.find(digests)
    copied, new = np.flatnonzero(positions >= 0), np.flatnonzero(positions < 0)
    first, like = _distinct(digests[new]) if deduplicate else (_all(new), _all(new))
    done = embed(new[first])
    results = np.full(len(first), -1)
    results[done.rows] = _all(done.rows)
    results = results[like]  # Of each new row.
    embedded = np.flatnonzero(results >= 0)
    columns = done.columns
    if deduplicate and len(done.rows):
        known.add(digests[new[first[done.rows]]], columns)
        columns = take(columns, results[embedded])
    pieces = [(new[embedded], columns)] if len(embedded) else []
    if len(copied):
        pieces.append((copied, known.take(positions[copied])))
    rows, columns = merge(pieces)
    unfit = np.flatnonzero(np.isin(like, list(done.rejected)))
    rejected = {int(new[row]): done.rejected[int(like[row])] for row in unfit}
    reused = int((positions[copied] < known.earlier).sum())
    return EmbeddedRows(
        rows,
        columns,
        rejected,
        done.calls,
        digests[rows],
        reused=reused,
        duplicates=len(rows) - reused - len(done.rows),
        spent=done.spent,
    )


def _all(rows: Rows) -> Rows:
    return np.arange(len(rows))


def _distinct(digests: Digests) -> tuple[Rows, Rows]:
    """The first row with each digest, ascending; and for each row, which of these it equals."""
    if not len(digests):
        return np.array([], np.int64), np.array([], np.int64)
    _, first, like = np.unique(digests, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[like]
