"""Rows that cannot be embedded: how they are found, named and kept.

A dead letter is a row of a record batch with the columns

    key     string   where the row came from: `{file}:{record}`, records counted from 1
    reason  string   why it was rejected
    …                the kept features, where the row could be read at all
"""

from collections.abc import Mapping

import pyarrow as pa

from hub_tfx.data.arrow import batch_of
from hub_tfx.errors import RejectedRowsError

DEAD_LETTERS = "dead_letters"
"""Name of the PCollection, and of the folder, that dead letters are in."""
DEAD_LETTER_COLUMNS = KEY, REASON = "key", "reason"


def dead_letters(rejected: Mapping[str, str], kept: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Rejected rows as a record batch.

    Args:
      rejected: key of the row -> reason.
      kept: their kept features by name, in the same order.
    """
    letters = {
        KEY: pa.array(list(rejected), pa.string()),
        REASON: pa.array(list(rejected.values()), pa.string()),
    }
    return batch_of(letters | {name: _of_letters(column) for name, column in kept.items()})


def type_in_letters(given: pa.DataType) -> pa.DataType:
    """The type that a kept feature has in dead letters, where it may be missing."""
    # Of a fixed-size list that is null, pyarrow 10 writes to Parquet what it cannot read.
    return pa.list_(given.value_type) if pa.types.is_fixed_size_list(given) else given


def _of_letters(column: pa.Array) -> pa.Array:
    wanted = type_in_letters(column.type)
    return column if column.type == wanted else pa.array(column.to_pylist(), wanted)


def check_rejected(rejected: int, records: int, max_ratio: float, consequence: str) -> None:
    """Refuses to go on where all rows were rejected, or more than may be.

    Args:
      rejected, records: numbers of rows.
      max_ratio: see EmbedConfig.max_dead_letter_ratio.
      consequence: for the message, what was therefore not done.

    Raises:
      RejectedRowsError: see above.
    """
    if not rejected or (rejected < records and rejected <= max_ratio * records):
        return
    allowed = "not all" if rejected == records else f"at most {max_ratio:.1%}"
    raise RejectedRowsError(
        f"{rejected} of {records} records were rejected, and {allowed} may be: {consequence}"
    )
