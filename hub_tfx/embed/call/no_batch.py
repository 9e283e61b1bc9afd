"""Signatures without a batch dimension: found where only that fits, and called once a row."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.marks import rejected_of
from hub_tfx.embed.call.bound_inputs import BoundInputs
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import BatchError, EmbedPlan
from hub_tfx.errors import ConfigError, UsageError

Bind = Callable[[EmbedConfig], tuple[EmbedPlan, list[Input]]]
FirstRows = Callable[[EmbedPlan], pa.RecordBatch | None]


def settle_batch(
    config: EmbedConfig,
    bind: Bind,
    first_rows: FirstRows = lambda plan: None,
    tell: Callable[[str], None] = lambda message: None,
) -> EmbedConfig:
    """The config, with ``no_batch`` where rows fit the signature in no other way.

    By the signature and the types of columns; where these leave it open, by the first rows. A list
    where the signature has one dimension then is a row. With more dimensions it may as well be a
    list of the wrong length, and the user has to say what is meant.

    Args:
      config: of the job.
      bind: gives plan and inputs, or raises UsageError.
      first_rows: some rows of the columns in a plan, if there are any.
      tell: takes a message where something was found out.

    Raises:
      ConfigError: the first rows fit without a batch dimension only, and that may be a mistake.
    """
    by_row = replace(config, no_batch=True)
    if not config.no_batch and _fits_only(by_row, config, bind, first_rows):
        tell("the signature takes one row at a time, so it is called once a row (no_batch)")
        return by_row
    return config


def _fits_only(by_row: EmbedConfig, config: EmbedConfig, bind: Bind, first_rows: FirstRows) -> bool:
    try:
        plan, inputs = bind(config)
    except BatchError as error:
        if error.others:
            return _fits_only(by_row, replace(config, outputs=error.others), bind, first_rows)
        return _fits(by_row, bind, first_rows)
    except UsageError:
        return False
    if not any(fed.is_fed_lists for fed in inputs):
        return False
    rows = first_rows(plan)
    reasons = {} if rows is None else _reasons(inputs, rows)
    if rows is None or len(reasons) < rows.num_rows or not _fits(by_row, bind, first_rows):
        return False
    if any(fed.row_rank for fed in inputs):
        raise ConfigError(
            f"none of the first {rows.num_rows} rows fits: {next(iter(reasons.values()))}; if the "
            "signature takes one row at a time, say so with no_batch (--no-batch)"
        )
    return True


def _fits(by_row: EmbedConfig, bind: Bind, first_rows: FirstRows) -> bool:
    """Whether a row fits without a batch dimension, as far as is known. A single value could go
    into a list, but it says nothing for that."""
    try:
        plan, inputs = bind(by_row)
    except UsageError:
        return False
    if not all(fed.is_fed_lists or fed.is_encoded or not fed.row_rank for fed in inputs):
        return False
    rows = first_rows(plan)
    return rows is None or len(_reasons(inputs, rows)) < rows.num_rows


def _reasons(inputs: Sequence[Input], rows: pa.RecordBatch) -> dict[int, str]:
    return BoundInputs(inputs).check(rows) | dict(rejected_of(rows))


def without_batch(tensor: Any) -> Any:
    """The one row of a tensor, as a signature takes it that has no batch dimension."""
    if isinstance(tensor, tf.SparseTensor):
        return tf.sparse.reshape(tensor, tensor.dense_shape[1:])
    return tensor[0]


def as_batch(output: Any) -> Any:
    """What such a signature gives as a batch of one row."""
    if isinstance(output, tf.SparseTensor):
        return tf.sparse.expand_dims(output, 0)
    return tf.expand_dims(output, 0)
