"""What is embedded for an evaluation: modules, input and features, checked against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from hub_tfx.data.files import SourceFile
from hub_tfx.data.schema import check_columns
from hub_tfx.data.uses import Use, look_further, typed_by_use
from hub_tfx.embed.call.bound_inputs import inputs_of, uses_of
from hub_tfx.embed.columns import OPEN, OutputColumn
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import file_inputs
from hub_tfx.embed.task import EmbedTask, make_task
from hub_tfx.errors import ConfigError, UsageError
from hub_tfx.module.resolved import ResolvedModule

CANDIDATE, BASELINE = "candidate", "baseline"
CALL_ROWS = 64
"""Rows of a call where nobody says: a fixed number, so that runs do not differ by their timing."""


@dataclass(frozen=True)
class Subject:
    """A module that takes part in an evaluation, and how it is fed.

    Attributes:
      module: the module.
      config: how rows are fed to it, and which of its outputs is compared.
      preprocessor: a module that takes the features and feeds the other one.
    """

    module: ResolvedModule
    config: EmbedConfig
    preprocessor: ResolvedModule | None = None


@dataclass(frozen=True)
class EvaluationTask:
    """A checked evaluation, before a row is read.

    Attributes:
      of_side: ``candidate``, and ``baseline`` if there is one -> what embeds for it.
      files: what to read.
      schema: the columns to read, for all of them.
      about: features that say something about a row and are not fed, such as its label.
      shown: a feature with text by which a person knows a row; None where none is fed.
    """

    of_side: Mapping[str, EmbedTask]
    files: Sequence[SourceFile]
    schema: pa.Schema
    about: tuple[str, ...]
    shown: str | None

    def vector(self, side: str) -> OutputColumn:
        """The output that is compared."""
        return self.of_side[side].plan.outputs[0]


def make_evaluation_task(
    subjects: Mapping[str, Subject],
    files: Sequence[SourceFile],
    columns: pa.Schema,
    about: Mapping[str, str],
) -> EvaluationTask:
    """Checks modules, input and features against each other.

    Args:
      subjects: ``candidate``, and ``baseline`` if there is one -> the module.
      files: of the input.
      columns: all columns of the input, empty where it has not a single record.
      about: what a feature is for, as errors say it, such as ``label (--label)`` -> the feature.

    Raises:
      UsageError: they do not fit.
      InputError: files disagree on a feature.
    """
    of_side = {side: _embed_task(side, of, files, columns) for side, of in subjects.items()}
    fed = [name for task in of_side.values() for name in task.plan.needed]
    needed, kept = dict.fromkeys([*fed, *about.values()]), tuple(dict.fromkeys(about.values()))
    if not columns.names:  # There is not a single record, so nothing to find out of a type.
        schema = pa.schema([(name, pa.string()) for name in needed])
        return EvaluationTask(of_side, files, schema, kept, None)
    columns = look_further(columns, files, needed)
    _check_there(about, columns)
    check_columns(columns, about.values())
    uses = {name: Use(is_kept=True) for name in about.values()}
    for task in of_side.values():
        for name, use in uses_of(task.plan, task.config).items():
            uses[name] = uses[name] | use if name in uses else use
    schema = typed_by_use(columns, uses, files[0].format if files else None)
    for task in of_side.values():
        inputs_of(task.plan, task.config, schema)  # Both read a feature as one type.
    return EvaluationTask(of_side, files, schema, kept, _shown(of_side[CANDIDATE]))


def _embed_task(
    side: str, subject: Subject, files: Sequence[SourceFile], columns: pa.Schema
) -> EmbedTask:
    config = subject.config
    if config.keep or config.deduplicate or config.output_dtype != "float32":
        raise ConfigError(
            f"the {side}: keep, deduplicate and output_dtype are for embeddings that are written, "
            "and an evaluation compares what the module gives: leave them out"
        )
    if config.batch_size is None:
        config = replace(config, batch_size=CALL_ROWS)
    try:
        task = make_task(subject.module, config, files, columns, "parquet", subject.preprocessor)
        _check_vector(task)
    except UsageError as error:
        raise type(error)(f"the {side} {subject.module.handle}: {error}") from error
    return task


def _check_vector(task: EmbedTask) -> None:
    """Raises ConfigError where what a module gives is not one vector a row."""
    given = task.plan.outputs
    keys = ", ".join(column.key for column in given)
    if len(given) > 1:
        raise ConfigError(
            f"signature {task.plan.signature!r} gives {keys}: name the one to compare "
            "(--output-key KEY)"
        )
    (column,) = given
    if column.type != pa.float32() or len(column.shape) != 1 or OPEN in column.shape:
        signature = task.module.spec.tagged(task.config.tags).signature(task.plan.signature)
        raise ConfigError(
            f"output {keys!r} of signature {task.plan.signature!r} is {signature.outputs[keys]}, "
            "and one vector of floats a row is compared: name another output (--output-key KEY) or "
            "signature (--signature NAME)"
        )


def _check_there(about: Mapping[str, str], columns: pa.Schema) -> None:
    for what, name in about.items():
        if name not in columns.names:
            raise ConfigError(
                f"no feature {name!r} for the {what}; the input has "
                f"{', '.join(sorted(columns.names))}"
            )


def _shown(task: EmbedTask) -> str | None:
    """The first feature that is fed as text, or that names a file which is fed."""
    inputs = task.plan.inputs
    paths = file_inputs(inputs, task.config)
    texts = (key for key, info in inputs.items() if info.dtype == "string" or key in paths)
    return next((task.plan.features[key] for key in texts), None)
