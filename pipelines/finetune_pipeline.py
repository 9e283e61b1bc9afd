"""From files to a tuned module, its verdict and its version.

ExampleGen -> statistics, schema, validation -> Transform -> ModuleResolver -> ModuleTrainer
    -> ModuleEvaluator -> ModulePublisher
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tfx.v1 as tfx

from hub_tfx.components.latest_module import latest_module
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.spec import ModuleFormat
from hub_tfx_pipelines.common import (
    PipelineConfig,
    make_example_gen,
    make_pipeline,
    resolve_preprocessor,
)
from hub_tfx_pipelines.preprocessing import DEFAULT_TEXT
from hub_tfx_pipelines.publishing import Gate, Publication, judge_and_publish

_PREPROCESSING_FN = "hub_tfx_pipelines.preprocessing.preprocessing_fn"


@dataclass(frozen=True, kw_only=True)
class FineTunePipelineConfig(PipelineConfig):
    """What the fine-tuning pipeline works on, besides what every pipeline does.

    Attributes:
      fine_tune: what to learn, and how.
      module: handle of the base module; None where module_fn builds a new one.
      module_fn: ``package.module:function`` that builds a new module, where there is no base.
      module_format: format of the new module; see ModuleTrainer.
      warm_start: whether to start from the module that the last run of this pipeline made. The
        first run, which has none, starts as if this were false.
      texts: features that hold text, cleaned by Transform. None for the feature ``text``, which the
        data need not have where ``kept`` names others.
      kept: other features that the module takes, such as encoded images.
      run_fn: ``package.module:function`` that trains in place of ours.
      gate: how the new module is judged; None where it is not.
      publication: where it is published if it is blessed; None where it is not published.
      eval_config: a tfma.EvalConfig by which TFX's own Evaluator judges the serving model as well,
        on the splits of the gate; None where it does not. Nothing depends on its verdict.
    """

    fine_tune: FineTuneConfig
    module: str | None = None
    module_fn: str | None = None
    module_format: ModuleFormat | None = None
    warm_start: bool = False
    texts: Sequence[str] | None = None
    kept: Sequence[str] = ()
    run_fn: str | None = None
    gate: Gate | None = None
    publication: Publication | None = None
    eval_config: Any = None

    @property
    def folders(self) -> tuple[str, ...]:
        published = self.publication
        return super().folders + (() if published is None else (published.repository,))

    @property
    def handles(self) -> tuple[str, ...]:
        baseline = None if self.gate is None else self.gate.baseline
        return super().handles + (() if baseline is None else (baseline,))

    def __post_init__(self) -> None:
        missing = [self.module, self.module_fn].count(None)
        if missing == 0 or (missing == 2 and self.run_fn is None):
            raise ConfigError(
                "give either module, the handle of the module to start from, or module_fn, which "
                "builds a new one"
            )


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
        texts = [DEFAULT_TEXT]
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
