"""From files to a tuned module, its verdict and its version.

ExampleGen -> statistics, schema, validation -> Transform -> ModuleResolver -> ModuleTrainer
    -> ModuleEvaluator -> ModulePublisher
"""

from typing import Any

import tfx.v1 as tfx

from hub_tfx.components.latest_module import latest_module
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx_pipelines.common import make_example_gen, make_pipeline, resolve_preprocessor
from hub_tfx_pipelines.configs import FineTunePipelineConfig
from hub_tfx_pipelines.preprocessing import DEFAULT_TEXT
from hub_tfx_pipelines.publishing import judge_and_publish

_PREPROCESSING_FN = "hub_tfx_pipelines.preprocessing.preprocessing_fn"


def create_pipeline(config: FineTunePipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX."""
    example_gen = make_example_gen(config)
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    schema_gen = tfx.components.SchemaGen(statistics=statistics, infer_feature_shape=False)
    schema = schema_gen.outputs["schema"]
    validator = tfx.components.ExampleValidator(statistics=statistics, schema=schema)
    transform = tfx.components.Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=_PREPROCESSING_FN,
        custom_config=_features(config),
    )
    starting_from, base_module = _base(config)
    preprocessing, preprocessor = resolve_preprocessor(config)
    trainer = ModuleTrainer(
        examples=transform.outputs["transformed_examples"],
        base_module=base_module,
        preprocessor=preprocessor,
        module_fn=config.module_fn,
        module_format=config.module_format,
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        raw_examples=examples,
        config=config.fine_tune,
        run_fn=config.run_fn,
    )
    components = [example_gen, statistics_gen, schema_gen, validator, transform]
    ending = judge_and_publish(
        config.gate,
        config.publication,
        examples=examples,
        module=trainer.outputs["module"],
        feeding=config.fine_tune.feeding,
        preprocessor=preprocessor,
    )
    ending += _judge_of_the_model(config, examples, trainer.outputs["model"])
    return make_pipeline(config, [*components, *starting_from, *preprocessing, trainer, *ending])


def _judge_of_the_model(config: FineTunePipelineConfig, examples: Any, model: Any) -> list[Any]:
    """TFX's Evaluator, which judges what serves, where the config asks for it."""
    if config.eval_config is None:
        return []
    splits = config.gate.splits if config.gate else ("eval",)
    evaluator = tfx.components.Evaluator(
        examples=examples, model=model, eval_config=config.eval_config, example_splits=list(splits)
    )
    return [evaluator]


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
        nodes.append(ModuleResolver(handle=config.module, digest=config.module_digest))
        base_module = nodes[0].outputs["module"]
    if config.warm_start:
        nodes.append(latest_module(fallback=base_module))
        base_module = nodes[-1].outputs["module"]
        if config.module is None:
            base_module = base_module.as_optional()
    return nodes, base_module
