"""A checked embedding job: config, modules and input fit each other."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hub_tfx import __version__
from hub_tfx.data.files import SourceFile
from hub_tfx.data.schema import check_columns
from hub_tfx.data.tf_example import example_type
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.call.no_batch import bind_inputs, settle_batch
from hub_tfx.embed.columns import embedding_dim
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.output.layout import (
    EMBEDDINGS,
    MADE_BY,
    OutputFormat,
)
from hub_tfx.embed.plan import EmbedPlan, make_plan
from hub_tfx.embed.read import first_rows
from hub_tfx.embed.reuse.previous import MADE_WITH, made_with
from hub_tfx.module.resolved import ResolvedModule

_log = logging.getLogger(__name__)

_SAMPLED_ROWS = 64
"""Rows that are looked at where types do not say how the module is to be called."""


def _text_for_string_inputs(
    columns: pa.Schema, plan: EmbedPlan, config: EmbedConfig, files: Sequence[SourceFile]
) -> pa.Schema:
    """Reads what feeds a string input, from a file without types, as text or bytes, whatever it
    looks like."""
    if not files or files[0].format not in ("csv", "txt"):
        return columns
    texts = {f for key, f in plan.features.items() if plan.inputs[key].dtype == "string"}
    type_ = pa.binary() if config.text_encoding == "bytes" else pa.string()
    return pa.schema([pa.field(c.name, type_ if c.name in texts else c.type) for c in columns])


def _columns_to_read(
    columns: pa.Schema, plan: EmbedPlan, config: EmbedConfig, files: Sequence[SourceFile]
) -> pa.Schema:
    """Those that a plan needs, with the types as which they are read."""
    check_columns(columns, plan.needed if columns.names else ())
    columns = _text_for_string_inputs(columns, plan, config, files)
    return pa.schema(
        [columns.field(name) if columns.names else (name, pa.string()) for name in plan.needed]
    )


@dataclass(frozen=True)
class EmbedTask:
    """A checked job: nothing in it can turn out not to fit once workers run.

    Attributes:
      module, preprocessor, config: as given.
      plan: the config, bound to both.
      files: what to read.
      schema: the columns to read.
    """

    module: ResolvedModule
    config: EmbedConfig
    plan: EmbedPlan
    files: Sequence[SourceFile]
    schema: pa.Schema
    preprocessor: ResolvedModule | None = None

    @property
    def made_with(self) -> dict[str, Any]:
        """What its vectors depend on, other than the rows; see previous.made_with."""
        return made_with(
            self.config,
            self.plan.signature,
            self.module.digest,
            self.preprocessor.digest if self.preprocessor else None,
        )


def make_task(
    module: ResolvedModule,
    config: EmbedConfig,
    files: Sequence[SourceFile],
    columns: pa.Schema,
    output_format: OutputFormat,
    preprocessor: ResolvedModule | None = None,
) -> EmbedTask:
    """Checks config, modules and input against each other.

    Args:
      columns: all columns of the input, empty where it has not a single record.

    Raises:
      UsageError: they do not fit.
    """
    first = preprocessor.spec if preprocessor else None

    def bound(config: EmbedConfig) -> tuple[EmbedPlan, list[Input]]:
        plan = make_plan(config, module.spec, columns.names or None, first)
        read = _columns_to_read(columns, plan, config, files)
        return plan, bind_inputs(plan, config, read) if columns.names else []

    def sample(plan: EmbedPlan) -> pa.RecordBatch | None:
        return first_rows(files, _columns_to_read(columns, plan, config, files), _SAMPLED_ROWS)

    config = settle_batch(config, bound, sample, tell=_log.warning)
    plan, _ = bound(config)
    schema = _columns_to_read(columns, plan, config, files)
    for name in plan.keep if output_format == "tfrecord" else ():
        example_type(schema.field(name).type, name)
    return EmbedTask(module, config, plan, files, schema, preprocessor)


def _identity(task: EmbedTask, output_format: OutputFormat) -> str:
    """The same for jobs that make the same of a row, whatever else is in their input."""
    about = _about(task)
    for name in ("batch_size", "batch_bytes", "max_dead_letter_ratio"):
        del about["config"][name]
    described = json.dumps([about, str(task.schema), output_format], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _schemas(task: EmbedTask) -> dict[str, pa.Schema]:
    """Columns of the output."""
    kept = [task.schema.field(name) for name in task.plan.keep]
    letters = [(KEY, pa.string()), (REASON, pa.string())]
    return {
        EMBEDDINGS: pa.schema([*kept, *task.plan.output_fields]),
        DEAD_LETTERS: pa.schema([*letters, *kept]),
    }


def _named(module: ResolvedModule) -> dict[str, str]:
    return {"handle": module.handle, "digest": module.digest}


def _about(task: EmbedTask) -> dict[str, Any]:
    return {
        "made_by": MADE_BY,
        "version": __version__,
        "module": _named(task.module),
        "preprocessor": _named(task.preprocessor) if task.preprocessor else None,
        "signature": task.plan.signature,
        MADE_WITH: task.made_with,
        "embedding_dim": embedding_dim(task.plan.outputs),
        "columns": {column.name: column.about() for column in task.plan.outputs},
        "config": task.config.to_dict(),
    }
