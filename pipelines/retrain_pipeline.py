"""From new examples to a better version and its embeddings, again and again.

WindowExampleGen -> statistics, schema, validation -> RetrainGate -> ModuleTrainer
    -> ModuleEvaluator -> ModulePublisher -> EmbeddingGenerator -> EmbeddingPusher
"""

from dataclasses import dataclass
from typing import Any

import tfx.v1 as tfx

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.latest_decision import latest_decision
from hub_tfx.components.latest_embeddings import latest_embeddings
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.retrain_gate.component import RetrainGate
from hub_tfx_pipelines.common import make_pipeline, resolve_preprocessor
from hub_tfx_pipelines.configs import RetrainPipelineConfig
from hub_tfx_pipelines.finetune_pipeline import make_trainer, prepare
from hub_tfx_pipelines.publishing import find_baseline, judge_and_publish
from hub_tfx_pipelines.pushing import push_embeddings
from hub_tfx_pipelines.windows import Plans, make_example_gens


def create_pipeline(config: RetrainPipelineConfig, plans: Plans | None = None) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX that resolves artifacts of earlier runs.

    Args:
      config: what it works on.
      plans: the spans that were planned before the run; None to look for them during the run.
    """
    config = config.pinned()
    resolver = ModuleResolver(
        handle=config.module, digest=config.module_digest, policy=config.safety
    )
    base_module = resolver.outputs["module"]
    finding, in_use = find_baseline(
        config.gate, config.publication, config.module, config.module_digest, config.safety
    )
    example_gen, *corpus = make_example_gens(config, in_use, base_module, plans)
    prepared = prepare(config, example_gen, config.schema_file)
    preprocessing, preprocessor = resolve_preprocessor(config)
    latest = latest_results(config)
    gate = RetrainGate(
        prepared.examples,
        config=config.retrain,
        statistics=prepared.statistics,
        anomalies=prepared.anomalies,
        base_module=base_module,
        learned=latest.learned,
        module_in_use=in_use,
        state_dir=config.state_dir,
    )
    decision = gate.outputs["decision"]
    trainer = make_trainer(
        config,
        prepared,
        base_module,
        preprocessor,
        module_in_use=in_use if config.warm_start else None,
        decision=decision,
    )
    evaluator, publisher = judge_and_publish(
        config.gate,
        config.publication,
        examples=prepared.examples,
        module=trainer.outputs["module"],
        feeding=config.fine_tune.feeding,
        preprocessor=preprocessor,
        baseline=in_use,
        decision=decision,
        state_dir=config.state_dir,
    )
    generator = EmbeddingGenerator(
        examples=[example_gen, *corpus][-1].outputs["examples"],
        module=in_use,
        published=publisher.outputs["published"],
        config=config.embed or config.fine_tune.feeding,
        preprocessor=preprocessor,
        previous=latest.embeddings,
        state_dir=config.state_dir,
    )
    finding_out = [
        *prepared.nodes,
        *corpus,
        resolver,
        *finding,
        *preprocessing,
        *latest.nodes,
        gate,
    ]
    pushing = push_embeddings(config.embeddings, generator.outputs["embeddings"])
    learning = [trainer, evaluator, publisher]
    return make_pipeline(config, [*finding_out, *learning, generator, *pushing])


@dataclass(frozen=True)
class LatestResults:
    """What earlier runs have left, as channels; none of them where a state directory names it.

    Attributes:
      nodes: the nodes that find it.
      learned: what was learned last.
      embeddings: the last embeddings.
    """

    nodes: tuple[Any, ...] = ()
    learned: Any = None
    embeddings: Any = None


def latest_results(config: RetrainPipelineConfig) -> LatestResults:
    """The results of earlier runs, for runners that resolve them."""
    if config.state_dir is not None:
        return LatestResults()
    decision, embedded = latest_decision(), latest_embeddings()
    return LatestResults(
        (decision, embedded), decision.outputs["learned"], embedded.outputs["previous"]
    )
