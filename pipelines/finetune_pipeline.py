"""From files to a tuned module, its verdict and its version.

ExampleGen -> statistics, schema, validation -> Transform -> ModuleResolver -> ModuleTrainer
    -> ModuleEvaluator -> ModulePublisher
"""

from dataclasses import dataclass
from typing import Any

import tensorflow_model_analysis as tfma
import tfx.v1 as tfx
from google.protobuf import json_format

from hub_tfx._files import read_regular, why
from hub_tfx.components.latest_module import latest_module
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.errors import InputError
from hub_tfx_pipelines.common import make_example_gen, make_pipeline, resolve_preprocessor
from hub_tfx_pipelines.configs import FineTunePipelineConfig
from hub_tfx_pipelines.preprocessing import DEFAULT_TEXT
from hub_tfx_pipelines.publishing import judge_and_publish

_PREPROCESSING_FN = "hub_tfx_pipelines.preprocessing.preprocessing_fn"


@dataclass(frozen=True)
class Prepared:
    """Examples, and what TFX knows about them and makes of them.

    Attributes:
      nodes: the components that do so.
      examples, statistics, anomalies: channels.
      transform: the component that makes features of examples.
      schema: A channel of type `Schema`.
    """

    nodes: tuple[Any, ...]
    examples: Any
    statistics: Any
    schema: Any
    anomalies: Any
    transform: Any


def create_pipeline(config: FineTunePipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    config = config.pinned()
    prepared = prepare(config, make_example_gen(config))
    starting_from, base_module = _base(config)
    preprocessing, preprocessor = resolve_preprocessor(config)
    trainer = make_trainer(config, prepared, base_module, preprocessor)
    ending = judge_and_publish(
        config.gate,
        config.publication,
        examples=prepared.examples,
        module=trainer.outputs["module"],
        feeding=config.fine_tune.feeding,
        preprocessor=preprocessor,
        policy=config.safety,
    )
    ending += _judge_of_the_model(config, prepared.examples, trainer.outputs["model"])
    nodes = [*prepared.nodes, *starting_from, *preprocessing, trainer, *ending]
    return make_pipeline(config, nodes)


def prepare(
    config: FineTunePipelineConfig, example_gen: Any, schema_file: str | None = None
) -> Prepared:
    """ExampleGen -> statistics, schema, validation -> Transform.

    Args:
      config: which features are learned from.
      example_gen: the component that reads the rows.
      schema_file: a Schema of TFX; None for one that is inferred from the examples.
    """
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    if schema_file is None:
        schema_gen = tfx.components.SchemaGen(statistics=statistics, infer_feature_shape=False)
    else:
        schema_gen = tfx.components.ImportSchemaGen(schema_file=schema_file)
    schema = schema_gen.outputs["schema"]
    validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=_PREPROCESSING_FN,
        custom_config=_features(config),
    )
    return Prepared(
        nodes=(example_gen, statistics_gen, schema_gen, validator, transform),
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=validator.outputs["anomalies"],
        transform=transform,
    )


def make_trainer(
    config: FineTunePipelineConfig,
    prepared: Prepared,
    base_module: Any,
    preprocessor: Any,
    **of_retraining: Any,
) -> ModuleTrainer:
    """The ModuleTrainer; ``of_retraining`` are more channels of it."""
    return ModuleTrainer(
        examples=prepared.transform.outputs["transformed_examples"],
        base_module=base_module,
        preprocessor=preprocessor,
        module_fn=config.module_fn,
        module_format=config.module_format,
        transform_graph=prepared.transform.outputs["transform_graph"],
        schema=prepared.schema,
        raw_examples=prepared.examples,
        config=config.fine_tune,
        run_fn=config.run_fn,
        **of_retraining,
    )


def _judge_of_the_model(config: FineTunePipelineConfig, examples: Any, model: Any) -> list[Any]:
    """TFX's Evaluator, which judges what serves, where the config asks for it."""
    if config.eval_config is None:
        return []
    evaluator = tfx.components.Evaluator(
        examples=examples,
        model=model,
        eval_config=_read_eval_config(config.eval_config),
        example_splits=list(config.gate.splits if config.gate else ("eval",)),
    )
    return [evaluator]


def _read_eval_config(path: str) -> tfma.EvalConfig:
    """The EvalConfig in a file.

    Raises:
      InputError: it cannot be read, or is not one.
    """
    try:
        parsed: tfma.EvalConfig = json_format.Parse(read_regular(path), tfma.EvalConfig())
    except (OSError, ValueError, json_format.ParseError) as error:
        reason = why(error) if isinstance(error, OSError) else " ".join(str(error).split())
        raise InputError(f"{path} is not a tfma.EvalConfig in JSON: {reason}") from error
    return parsed


def _features(config: FineTunePipelineConfig) -> dict[str, Any]:
    """The custom_config of hub_tfx_pipelines.preprocessing."""
    texts = config.texts
    if texts is None and not config.kept:
        texts = (DEFAULT_TEXT,)
    return {
        "label": config.fine_tune.label,
        "task": config.fine_tune.task,
        "texts": None if texts is None else list(texts),
        "kept": list(config.kept),
    }


def _base(config: FineTunePipelineConfig) -> tuple[list[Any], Any]:
    """The nodes that find the base module, and their output; None without any."""
    nodes, base_module = [], None
    if config.module is not None:
        nodes.append(
            ModuleResolver(handle=config.module, digest=config.module_digest, policy=config.safety)
        )
        base_module = nodes[0].outputs["module"]
    if config.warm_start:
        nodes.append(latest_module(fallback=base_module))
        base_module = nodes[-1].outputs["module"]
        if config.module is None:
            base_module = base_module.as_optional()
    return nodes, base_module
