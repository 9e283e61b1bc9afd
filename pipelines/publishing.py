"""How a pipeline that makes a module ends: the module is judged, and published if it is better."""

from typing import Any

from hub_tfx.components.latest_module import latest_module
from hub_tfx.components.module_evaluator.component import ModuleEvaluator
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.errors import ConfigError
from hub_tfx_pipelines.configs import Gate, Publication


def judge_and_publish(
    gate: Gate | None,
    publication: Publication | None,
    *,
    examples: Any,
    module: Any,
    feeding: Any,
    preprocessor: Any,
    baseline: Any = None,
    decision: Any = None,
) -> list[Any]:
    """The nodes that follow a ModuleTrainer.

    Without a gate everything would be published, so a publication needs one.

    Args:
      gate: what decides; None to end with the module.
      publication: where it goes; None to end with the verdict.
      examples: A channel of type `Examples` with the rows as they come.
      module: A channel of type `HubModule`.
      feeding: an EmbedConfig: how rows are fed to module and baseline.
      preprocessor: A channel of type `HubModule`, or None.
      baseline: A channel of type `HubModule`, if ``find_baseline`` has been asked already.
      decision: A channel of type `RetrainDecision`: whether there is a module; None if there is.
    """
    if gate is None:
        if publication is not None:
            raise ConfigError("what is published must be judged first: give a gate as well")
        return []
    finding: list[Any] = []
    if baseline is None:
        finding, baseline = find_baseline(gate, publication)
    evaluator = ModuleEvaluator(
        examples=examples,
        module=module,
        baseline=baseline,
        config=gate.config,
        feeding=feeding,
        preprocessor=preprocessor,
        splits=gate.splits,
        decision=decision,
    )
    nodes = [*finding, evaluator]
    if publication is not None:
        publisher = ModulePublisher(
            module=module,
            blessing=evaluator.outputs["blessing"],
            evaluation=evaluator.outputs["evaluation"],
            repository=publication.repository,
            name=publication.name,
            card=publication.card,
            aliases=publication.aliases,
            decision=decision,
            baseline=None if decision is None else baseline,  # It is what is in use, then.
        )
        nodes.append(publisher)
    return nodes


def find_baseline(
    gate: Gate, publication: Publication | None, fallback: Any = None
) -> tuple[list[Any], Any]:
    """The node that finds the baseline, and its output; none, and None, without one.

    The version in use is known to whoever starts the pipeline, who names it: see ``run_local``. On
    other platforms it is the newest one that the pipeline itself has published.

    Args:
      gate: which may name it.
      publication: what is in use of it is the baseline otherwise.
      fallback: A channel of type `HubModule` for where nothing is published yet.
    """
    if gate.baseline is not None:
        resolver = ModuleResolver(handle=gate.baseline, digest=gate.baseline_digest)
        return [resolver.with_id("BaselineResolver")], resolver.outputs["module"]
    if publication is None:
        return [], None
    node = latest_module(
        "ModulePublisher",
        output_key="published",
        properties={"repository": publication.repository, "name": publication.name},
        fallback=fallback,
        node_id="LatestPublished",
    )
    found = node.outputs["module"]
    return [node], found.as_optional() if fallback is None else found
