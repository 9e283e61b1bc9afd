"""A loaded module bound to a config and to the columns of its input: rows in, columns out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.arrow import all_but
from hub_tfx.embed.call.bound_inputs import BoundInputs, inputs_of
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.call.no_batch import as_batch, settle_batch, without_batch
from hub_tfx.embed.call.outputs import Outputs, to_array, to_columns
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan, make_plan
from hub_tfx.embed.rows import Rows
from hub_tfx.module.load import LoadedModule


@dataclass(frozen=True)
class Feed:
    """Rows that the module takes in one call, or in several.

    Attributes:
      rows: their indices in the batch they came from, ascending.
      batch: their columns.
      images: input key -> ``[rows, height, width, channels]``, decoded.
    """

    rows: Rows
    batch: pa.RecordBatch
    images: Mapping[str, Any]


class BoundModule(BoundInputs):
    """What one worker calls for record batches with the same columns.

    Attributes:
      plan: which feature feeds which input, and which output becomes which column.
    """

    def __init__(self, module: LoadedModule, config: EmbedConfig, schema: pa.Schema):
        """Binds a module.

        Args:
          module: the module, at the signature that the config names.
          config: what to feed and to write.
          schema: columns of its batches.

        Raises:
          UsageError: they do not fit.
        """
        preprocessor = module.preprocessor.spec if module.preprocessor else None

        def bound(config: EmbedConfig) -> tuple[EmbedPlan, list[Input]]:
            plan = make_plan(config, module.spec, schema.names, preprocessor)
            return plan, inputs_of(plan, config, schema)

        self.plan, inputs = bound(settle_batch(config, bound))
        self._module = module
        super().__init__(inputs)

    def feeds(self, batch: pa.RecordBatch) -> tuple[list[Feed], dict[int, str]]:
        """Rows that ``check`` let pass as the module can take them, images decoded.

        Returns:
          A feed for each shape that rows have, and the rows whose images cannot be decoded ->
          reason.
        """
        images, rejected = self.decode(batch)
        rows = all_but(batch.num_rows, rejected)
        if not len(rows):
            return [], rejected
        feeds = []
        for group in _by_shape(rows, self._shapes(batch, images, rows)):
            is_all = len(group) == batch.num_rows
            stacked = {key: tf.stack([found[r] for r in group]) for key, found in images.items()}
            feeds.append(Feed(group, batch if is_all else batch.take(pa.array(group)), stacked))
        return feeds, rejected

    def inputs(self, feed: Feed, start: int, stop: int) -> dict[str, Any]:
        """The tensors that some rows of a feed are, for one call."""
        rows = self._called_rows(stop - start)
        # The last row again and again where the graph wants more rows than there are.
        called = np.minimum(np.arange(start, start + rows), stop - 1)
        batch = feed.batch.slice(start, stop - start)
        if rows > stop - start:
            batch = feed.batch.take(pa.array(called))
        tensors = {
            fed.key: _rows_of_images(feed, fed.key, called)
            if fed.is_encoded
            else fed.to_tensor(fed.column_of(batch))
            for fed in self._inputs
        }
        if self.plan.no_batch:
            return {key: without_batch(tensor) for key, tensor in tensors.items()}
        return tensors

    def call(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Calls the module: each output that is written as an array, or as a RaggedTensor."""
        outputs = self._module(inputs)
        if self.plan.no_batch:
            outputs = {column.key: as_batch(outputs[column.key]) for column in self.plan.outputs}
        return {column.key: to_array(outputs[column.key]) for column in self.plan.outputs}

    def columns(self, outputs: Mapping[str, Any], rows: int) -> Outputs:
        """What a call gave for so many rows, as columns."""
        columns: dict[str, pa.Array] = {}
        rejected: dict[int, str] = {}
        for column in self.plan.outputs:
            output = outputs[column.key]
            written = to_columns(column, output, rows, self._called_rows(rows))
            columns |= written.columns
            rejected = dict(written.rejected) | rejected
        return Outputs(columns, rejected)

    def _called_rows(self, rows: int) -> int:
        return max(rows, self.plan.call_rows or 0)

    def _shapes(self, batch: pa.RecordBatch, images: Mapping[str, list[Any]], rows: Rows) -> Rows:
        """What rows of one call may not differ in: ``[rows, any number]``."""
        shapes = [np.zeros((len(rows), 0), np.int64)]
        for fed in self._inputs:
            if fed.is_encoded and self.plan.image_size is None:
                shapes.append(np.array([images[fed.key][row].shape for row in rows]))
            elif (of_all := fed.row_shapes(fed.column_of(batch))) is not None:
                shapes.append(of_all[rows])
        return np.concatenate(shapes, axis=1)


def _by_shape(rows: Rows, shapes: Rows) -> list[Rows]:
    if (shapes == shapes[0]).all():
        return [rows]
    _, group = np.unique(shapes, axis=0, return_inverse=True)
    return [rows[group == g] for g in range(group.max() + 1)]


def _rows_of_images(feed: Feed, key: str, called: Rows) -> Any:
    images = feed.images[key]
    return images if np.array_equal(called, np.arange(len(images))) else tf.gather(images, called)
