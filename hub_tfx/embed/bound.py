"""A loaded module bound to a config and to the columns of its input: rows in, columns out."""

from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx.embed import tensors
from hub_tfx.embed.config import EmbedConfig, EmbedPlan, make_plan
from hub_tfx.embed.failures import columns_of
from hub_tfx.module.load import LoadedModule

Rows = np.ndarray[Any, np.dtype[np.int64]]
"""Indices of rows of a batch, or a number for each row."""


class BoundModule:
    """What one worker calls for record batches with the same columns.

    Attributes:
      plan: which feature feeds which input, and which output becomes which column.
    """

    def __init__(self, module: LoadedModule, config: EmbedConfig, names: list[str]):
        """Args:
        module: the module, at the signature that the config names.
        config: what to feed and to write.
        names: of the columns that its batches have.
        """
        self.plan: EmbedPlan = make_plan(config, module.spec, names)
        self._module = module
        self._types: dict[str, pa.DataType] = {}
        self._utf8 = config.text_encoding == "utf-8"

    def check(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Rows that cannot be fed -> reason."""
        reasons: dict[int, str] = {}
        columns = columns_of(batch, self.plan.needed)
        for key, feature in self.plan.features.items():
            info = self.plan.spec.inputs[key]
            reasons = (
                tensors.check_column(columns[feature], info, feature, utf8=self._utf8) | reasons
            )
        return reasons

    def row_bytes(self, batch: pa.RecordBatch) -> Rows:
        """Bytes that each row feeds: ``[rows]`` int64."""
        columns = columns_of(batch, self.plan.needed)
        sizes = np.zeros(batch.num_rows, np.int64)
        for key, feature in self.plan.features.items():
            sizes += tensors.row_bytes(columns[feature], self.plan.spec.inputs[key])
        return sizes

    def __call__(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Embeds rows that ``check`` let pass, in one call of the module."""
        columns = columns_of(batch, self.plan.needed)
        outputs = self._module(
            {
                key: tensors.to_tensor(columns[feature], self.plan.spec.inputs[key])
                for key, feature in self.plan.features.items()
            }
        )
        return {
            column: tensors.to_column(outputs[key], column, batch.num_rows)
            for key, column in self.plan.columns.items()
        }

    def check_outputs(self, columns: dict[str, pa.Array]) -> dict[int, str]:
        """Rows of a result that cannot be written -> reason."""
        reasons = tensors.non_finite_rows(columns)
        for name, column in columns.items():
            # A dimension that the graph leaves open is what the first batch made of it.
            learned = self._types.setdefault(name, column.type)
            if column.type != learned:
                reason = f"the module gave {column.type} for {name!r}, for other rows {learned}"
                reasons |= dict.fromkeys(range(len(column)), reason)
        return reasons
