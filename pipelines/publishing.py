"""How a pipeline that makes a module ends: the module is judged, and published if it is better."""

from typing import Any

from hub_tfx.components.module_evaluator.component import ModuleEvaluator
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.errors import ConfigError
from hub_tfx.module.policy import SafetyPolicy
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
    state_dir: str | None = None,
    policy: SafetyPolicy | None = None,
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
      state_dir: directory in which the publisher names what was learned; None where the runner
        finds that.
    """
    if gate is None:
        if publication is not None:
            raise ConfigError("what is published must be judged first: give a gate as well")
        return []
    finding: list[Any] = []
    if baseline is None:
        finding, baseline = find_baseline(gate, publication, policy=policy)
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
            state_dir=state_dir,
        )
        nodes.append(publisher)
    return nodes


def find_baseline(
    gate: Gate,
    publication: Publication | None,
    fallback: str | None = None,
    fallback_digest: str | None = None,
    policy: SafetyPolicy | None = None,
) -> tuple[list[Any], Any]:
    """The node that finds the baseline, and its output; none, and None, without one.

    The version in use is read when the node runs. Whoever starts the pipeline may know it already,
    and name it: see ``run_local``.

    Args:
      gate: which may name it.
      publication: what is in use of it is the baseline otherwise.
      fallback: handle of the baseline while nothing is published yet; None for no baseline then.
      fallback_digest: the digest that the fallback must have; None for any.
      policy: which modules are taken; one without exceptions if None.
    """
    if gate.baseline is not None:
        resolver = ModuleResolver(handle=gate.baseline, digest=gate.baseline_digest, policy=policy)
    elif publication is not None:
        resolver = ModuleResolver(
            handle=publication.handle,
            fallback=fallback,
            fallback_digest=fallback_digest,
            optional=fallback is None,
            policy=policy,
        )
    else:
        return [], None
    found = resolver.outputs["module"]
    is_optional = gate.baseline is None and fallback is None
    node = resolver.with_id("BaselineResolver")
    return [node], found.as_optional() if is_optional else found
