"""The inputs of a module bound to the columns that feed them: which rows can be fed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hub_tfx.data.arrow import all_but, batch_of, columns_of
from hub_tfx.data.marks import rejected_of
from hub_tfx.data.uses import Use
from hub_tfx.embed import digests
from hub_tfx.embed.call.column_types import value_type
from hub_tfx.embed.call.inputs import Input, accepts
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.digests import Digests
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.embed.rows import Rows


@dataclass(frozen=True)
class CheckedRows:
    """A batch, of which some rows can be fed.

    Attributes:
      batch: all rows, as they came.
      fed: those that can be, with what files hold in place of their paths.
      rows: their indices, ascending.
      rejected: index of the others -> reason.
    """

    batch: pa.RecordBatch
    fed: pa.RecordBatch
    rows: Rows
    rejected: Mapping[int, str]


def uses_of(plan: EmbedPlan, config: EmbedConfig) -> dict[str, Use]:
    """What each column that a plan needs is for."""
    uses = {name: Use(is_kept=name in plan.keep) for name in plan.needed}
    for key, name in plan.features.items():
        uses[name] |= Use(value_type(key, plan, config), accepts(key, plan, config))
    return uses


def inputs_of(plan: EmbedPlan, config: EmbedConfig, schema: pa.Schema) -> list[Input]:
    """The inputs of a plan, fed by columns of these types.

    Raises:
      ConfigError: an input cannot take a column of the type that its feature has.
    """
    return [
        Input.of_field(key, plan, config, schema.field(feature))
        for key, feature in plan.features.items()
    ]


class BoundInputs:
    """Inputs, each fed by a column of record batches that all have the same columns.

    Attributes:
      has_images: whether some are fed encoded images, which take time to decode.
      reads_files: whether rows name files that are fed.
    """

    def __init__(self, inputs: Sequence[Input]):
        self._inputs = inputs
        self.reads_files = any(fed.reads_files for fed in inputs)
        self.has_images = any(fed.is_encoded for fed in inputs)

    def checked(self, batch: pa.RecordBatch) -> CheckedRows:
        """Finds the rows of a batch that can be fed, and reads the files that they name.

        Images are not decoded yet.
        """
        rejected = self.check(batch) | rejected_of(batch)
        rows = all_but(batch.num_rows, rejected)
        fed = batch if not rejected else batch.take(pa.array(rows))
        if self.reads_files:
            fed, unreadable = self.load(fed)
            readable = all_but(len(rows), unreadable)
            rejected |= {int(rows[row]): why for row, why in unreadable.items()}
            fed, rows = fed.take(pa.array(readable)), rows[readable]
        return CheckedRows(batch, fed, rows, rejected)

    def check(self, batch: pa.RecordBatch) -> dict[int, str]:
        """Rows that cannot be fed -> reason."""
        reasons: dict[int, str] = {}
        for fed in self._inputs:
            reasons = fed.check(fed.column_of(batch)) | reasons
        return reasons

    def load(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, str]]:
        """Rows that ``check`` let pass with what files hold in place of their paths.

        Returns:
          All rows, and those whose files cannot be read -> reason.
        """
        columns = columns_of(batch, batch.schema.names)
        reasons: dict[int, str] = {}
        for fed in self._inputs:
            if fed.reads_files:
                columns[fed.feature], unreadable = fed.load(fed.column_of(batch))
                reasons = unreadable | reasons
        return batch_of(columns), reasons

    def fed_columns(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """Feature -> what it feeds, of rows that ``checked`` let pass."""
        return {fed.feature: fed.column_of(batch) for fed in self._inputs}

    def decode(self, batch: pa.RecordBatch) -> tuple[dict[str, list[Any]], dict[int, str]]:
        """Input key -> pixels of each row that ``checked`` let pass, and the rows whose images
        cannot be decoded -> reason."""
        images = {f.key: f.decode(f.column_of(batch)) for f in self._inputs if f.is_encoded}
        rejected = {
            row: image
            for decoded in images.values()
            for row, image in enumerate(decoded)
            if isinstance(image, str)
        }
        return images, rejected

    def row_bytes(self, batch: pa.RecordBatch) -> Rows:
        """Bytes that each row feeds: ``[rows]`` int64."""
        sizes = np.zeros(batch.num_rows, np.int64)
        for fed in self._inputs:
            sizes += fed.row_bytes(fed.column_of(batch))
        return sizes

    def digests(self, batch: pa.RecordBatch) -> Digests:
        """Digests of what each row that ``check`` let pass feeds."""
        return digests.of_rows([fed.digests(fed.column_of(batch)) for fed in self._inputs])
