"""A checked embedding job: config, modules and input fit each other."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from hub_tfx import __version__
from hub_tfx.data.arrow import has_empty_struct
from hub_tfx.data.files import SourceFile
from hub_tfx.data.tf_example import example_type
from hub_tfx.data.uses import look_further, typed_by_use
from hub_tfx.embed.call.bound_inputs import inputs_of, uses_of
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.call.no_batch import settle_batch
from hub_tfx.embed.columns import embedding_dim
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON, type_in_letters
from hub_tfx.embed.manifest import ModuleRef, OutputFormat, OutputManifest
from hub_tfx.embed.output.layout import EMBEDDINGS
from hub_tfx.embed.plan import EmbedPlan, NoFeatureError, make_plan
from hub_tfx.embed.read import first_rows
from hub_tfx.embed.reuse.previous import vectors_fingerprint
from hub_tfx.errors import ConfigError
from hub_tfx.module.resolved import ResolvedModule

_log = logging.getLogger(__name__)

_SAMPLED_ROWS = 64
"""Rows that are looked at where types do not say how the module is to be called."""
_SAMPLED_BATCHES = 100
"""Of so many rows, among which some are sought that lack nothing."""
_MAKES_A_ROW = (
    "made_by",
    "version",
    "module",
    "preprocessor",
    "signature",
    "made_with",
    "embedding_dim",
    "columns",
    "config",
)
"""Keys of a manifest: what the output of a row depends on."""
_HOW_IT_RUNS = ("batch_size", "batch_bytes", "max_dead_letter_ratio", "threads")
"""Keys of a config on which it does not."""


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
    def vectors_fingerprint(self) -> dict[str, Any]:
        """What its vectors depend on, other than the rows; see reuse.previous."""
        return vectors_fingerprint(
            self.config,
            self.plan.signature,
            self.module.digest,
            self.preprocessor.digest if self.preprocessor else None,
        )

    @property
    def output_schemas(self) -> dict[str, pa.Schema]:
        """Kind of part -> its columns."""
        kept = [self.schema.field(name).remove_metadata() for name in self.plan.keep]
        letters = [(KEY, pa.string()), (REASON, pa.string())]
        return {
            EMBEDDINGS: pa.schema([*kept, *self.plan.output_fields]),
            DEAD_LETTERS: pa.schema(
                [*letters, *(field.with_type(type_in_letters(field.type)) for field in kept)]
            ),
        }

    def manifest(self, output_format: OutputFormat) -> OutputManifest:
        """The manifest of its output, before there is a row."""
        return OutputManifest(
            version=__version__,
            module=_ref(self.module),
            preprocessor=_ref(self.preprocessor) if self.preprocessor else None,
            signature=self.plan.signature,
            made_with=self.vectors_fingerprint,
            embedding_dim=embedding_dim(self.plan.outputs),
            columns={column.name: column.written() for column in self.plan.outputs},
            config=json.loads(self.config.to_json()),
            format=output_format,
        )

    def job_fingerprint(self, output_format: OutputFormat) -> str:
        """The same for jobs that make the same of a row, whatever else is in their input."""
        manifest = self.manifest(output_format).to_dict()
        about = {name: manifest[name] for name in _MAKES_A_ROW}
        for name in _HOW_IT_RUNS:
            about["config"].pop(name, None)
        about["config"]["call_timeout_s"] = EmbedConfig.call_timeout_s  # As if it were the usual.
        described = json.dumps([about, str(self.schema), output_format], sort_keys=True)
        return hashlib.sha256(described.encode()).hexdigest()[:32]


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
        nonlocal columns
        plan, columns = _planned(
            lambda names: make_plan(config, module.spec, names or None, first), columns, files
        )
        if not columns.names:
            return plan, []
        return plan, inputs_of(plan, config, _columns_to_read(columns, plan, config, files))

    def sample(plan: EmbedPlan) -> pa.RecordBatch | None:
        schema = _columns_to_read(columns, plan, config, files)
        return _first_fed(first_rows(files, schema, _SAMPLED_ROWS), plan)

    config = settle_batch(config, bound, sample, tell=_log.warning)
    plan, _ = bound(config)
    schema = _columns_to_read(columns, plan, config, files)
    for name in plan.keep:
        _check_kept(schema.field(name), output_format)
    for column in plan.outputs if output_format == "tfrecord" else ():
        if column.type == pa.uint64():
            raise ConfigError(
                f"output {column.key!r} is uint64, and tf.Example holds int64: write Parquet "
                "(--format parquet), or name other outputs (--output-map)"
            )
    return EmbedTask(module, config, plan, files, schema, preprocessor)


def _first_fed(batches: Iterable[pa.RecordBatch], plan: EmbedPlan) -> pa.RecordBatch | None:
    """The first of some batches in which no feature that is fed is missing in all rows."""
    for batch in islice(batches, _SAMPLED_BATCHES):
        fed = [batch.column(name) for name in plan.features.values()]
        if all(column.null_count < len(column) for column in fed):
            return batch
    return None


def _planned(
    plan: Callable[[Sequence[str]], EmbedPlan], columns: pa.Schema, files: Sequence[SourceFile]
) -> tuple[EmbedPlan, pa.Schema]:
    """The plan, and the columns, completed where first records do not tell enough for it.

    Args:
      plan: takes the names of columns.
      columns: known so far.
      files: which may have more.
    """
    while True:
        try:
            made = plan(columns.names)
            return made, look_further(columns, files, made.needed) if columns.names else columns
        except NoFeatureError as error:
            more = look_further(columns, files, error.features)
            if set(more.names) == set(columns.names):
                raise
            columns = more


def _columns_to_read(
    columns: pa.Schema, plan: EmbedPlan, config: EmbedConfig, files: Sequence[SourceFile]
) -> pa.Schema:
    """Those that a plan needs, with the types as which they are read."""
    file_format = files[0].format if files else None
    if not columns.names:  # There is not a single record, or none that can be read.
        is_example = file_format == "tfrecord"
        any_type = pa.large_list(pa.large_binary()) if is_example else pa.string()
        return pa.schema([(name, any_type) for name in plan.needed])
    return typed_by_use(columns, uses_of(plan, config), file_format)


def _check_kept(field: pa.Field, output_format: OutputFormat) -> None:
    """Raises ConfigError for what the output cannot hold."""
    if output_format == "tfrecord":
        example_type(field.type, field.name)
    elif has_empty_struct(field.type):
        raise ConfigError(
            f"feature {field.name!r} holds {field.type}, an object without a key in any record, "
            "which Parquet cannot hold: do not keep it"
        )


def _ref(module: ResolvedModule) -> ModuleRef:
    return ModuleRef(module.handle, module.digest)
