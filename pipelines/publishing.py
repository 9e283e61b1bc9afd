"""How a pipeline that makes a module ends: the module is judged, and published if it is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hub_tfx.components.latest_module import latest_module
from hub_tfx.components.module_evaluator.component import ModuleEvaluator
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.repository.card import Card
from hub_tfx.repository.names import ModuleName, Reference, check_settable
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import in_use


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the new module of a pipeline must be to be blessed.

    Attributes:
      config: what is measured, and what it takes.
      splits: splits of the Examples that it is measured on; best one that training never reads.
      baseline: handle of the module to compare it with. None for the version in use of what is
        published, if there is one.
      baseline_digest: the digest that the baseline must have; None for any.
    """

    config: EvaluateConfig
    splits: Sequence[str] = ("eval",)
    baseline: str | None = None
    baseline_digest: str | None = None


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Where a blessed module becomes a version.

    Attributes:
      repository: directory, ``s3://…`` or ``gs://…``.
      name: ``publisher/model``.
      card: what people read about it.
      aliases: aliases that stand for the new version. The version that the first of them stands for
        is the one in use; without aliases it is the newest.
    """

    repository: str
    name: str
    card: Card
    aliases: Sequence[str] = ()

    def __post_init__(self) -> None:
        ModuleName.parse(self.name)
        for alias in self.aliases:
            check_settable(alias)

    def in_use(self) -> str | None:
        """Handle of the version in use now, with its number; None where there is none yet."""
        storage, name = open_storage(self.repository), ModuleName.parse(self.name)
        number = in_use(storage, name, next(iter(self.aliases), None))
        return None if number is None else f"repo+{storage.url}//{Reference(name, number)}"


def judge_and_publish(
    gate: Gate | None,
    publication: Publication | None,
    *,
    examples: Any,
    module: Any,
    feeding: Any,
    preprocessor: Any,
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
    """
    if gate is None:
        if publication is not None:
            raise ConfigError("what is published must be judged first: give a gate as well")
        return []
    finding, baseline = _baseline(gate, publication)
    evaluator = ModuleEvaluator(
        examples=examples,
        module=module,
        baseline=baseline,
        config=gate.config,
        feeding=feeding,
        preprocessor=preprocessor,
        splits=gate.splits,
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
        )
        nodes.append(publisher)
    return nodes


def _baseline(gate: Gate, publication: Publication | None) -> tuple[list[Any], Any]:
    """The node that finds the baseline, and its output; none, and None, without one.

    The version in use is known to whoever starts the pipeline, who names it: see ``run_local``. On
    other platforms it is the newest one that the pipeline itself has published.
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
        node_id="LatestPublished",
    )
    return [node], node.outputs["module"].as_optional()
