"""From new examples to a better version and its embeddings, again and again.

ExampleGen -> statistics, schema, validation -> RetrainGate -> ModuleTrainer -> ModuleEvaluator
    -> ModulePublisher -> EmbeddingGenerator -> EmbeddingPusher
"""

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


def create_pipeline(config: RetrainPipelineConfig) -> tfx.dsl.Pipeline:
    """The pipeline, for any runner of TFX that resolves artifacts of earlier runs."""
    prepared = prepare(config, config.schema_file)
    resolver = ModuleResolver(handle=config.module, digest=config.module_digest)
    base_module = resolver.outputs["module"]
    finding, in_use = find_baseline(config.gate, config.publication, fallback=base_module)
    preprocessing, preprocessor = resolve_preprocessor(config)
    latest = latest_decision()
    gate = RetrainGate(
        prepared.examples,
        config=config.retrain,
        statistics=prepared.statistics,
        anomalies=prepared.anomalies,
        base_module=base_module,
        learned=latest.outputs["learned"],
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
    )
    embedded = latest_embeddings()
    generator = EmbeddingGenerator(
        examples=prepared.examples,
        module=in_use,
        published=publisher.outputs["published"],
        config=config.embed or config.fine_tune.feeding,
        preprocessor=preprocessor,
        previous=embedded.outputs["previous"],
    )
    pushing = push_embeddings(config.embeddings, generator.outputs["embeddings"])
    finding_out = [*prepared.nodes, resolver, *finding, *preprocessing, latest, gate]
    learning = [trainer, evaluator, publisher]
    return make_pipeline(config, [*finding_out, *learning, embedded, generator, *pushing])
