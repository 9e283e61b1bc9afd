"""A resolver node of TFX for the newest module of earlier runs, to start from.

latest = latest_module(fallback=resolver.outputs["module"])
trainer = ModuleTrainer(…, base_module=latest.outputs["module"])
"""

from collections.abc import Mapping
from typing import Any

import tfx.v1 as tfx

from hub_tfx._tfx import BaseChannel, Channel, ResolverStrategy, evaluator_constants
from hub_tfx.artifacts import HubModule

_BLESSED = evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY
_MODEL_ID = evaluator_constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY
_MODULE, _BLESSING, _FALLBACK = "module", "blessing", "fallback"

_Artifacts = dict[str, list[Any]]


class LatestModuleStrategy(ResolverStrategy):  # type: ignore[misc]
    """Chooses from the artifacts of the inputs ``module``, ``blessing`` and ``fallback``.

    It takes the newest module; where there is an input ``blessing``, the newest one whose last
    verdict is a blessing. Without such a module it takes the fallback, and without a fallback none:
    TFX's LatestArtifactStrategy would fail. Unlike TFX's LatestBlessedModelStrategy it takes
    modules, and heeds a later verdict.
    """

    def __init__(self, properties: Mapping[str, str] | None = None):
        """A strategy for modules with these custom properties, whatever their values if None."""
        self._properties = properties or {}

    def resolve_artifacts(self, store: Any, input_dict: _Artifacts) -> _Artifacts:
        """The same keys, with at most one artifact each.

        Args:
          store: ML Metadata, which is not asked.
          input_dict: all live artifacts of each input.
        """
        modules = sorted(filter(self._fits, input_dict[_MODULE]), key=lambda artifact: artifact.id)
        chosen: _Artifacts = {key: [] for key in input_dict}
        if _BLESSING in input_dict:
            verdicts = _verdicts(input_dict[_BLESSING])
            modules = [module for module in modules if module.id in verdicts]
            chosen[_BLESSING] = [verdicts[module.id] for module in modules[-1:]]
        chosen[_MODULE] = modules[-1:] or input_dict.get(_FALLBACK, [])
        return chosen

    def _fits(self, module: Any) -> bool:
        stamped = module.get_string_custom_property
        return all(stamped(name) == value for name, value in self._properties.items())


def latest_module(
    producer: str = "ModuleTrainer",
    *,
    fallback: BaseChannel | None = None,
    blessed_by: str | None = None,
    output_key: str = "module",
    properties: Mapping[str, str] | None = None,
    node_id: str = "LatestModule",
) -> tfx.dsl.Resolver:
    """A node whose output ``module`` is the newest module of earlier runs of the pipeline.

    Runs belong to the pipeline that has their name. Without a fallback there may be no module, as
    in the first run: pass ``outputs["module"].as_optional()`` to the component that takes it.

    Args:
      producer: id of the component that makes the modules.
      fallback: A channel of type `HubModule`, taken where earlier runs have no module.
      blessed_by: id of a component whose output ``blessing`` (`ModelBlessing`, with the custom
        properties of TFX's Evaluator: `blessed` and `current_model_id`) the module must have.
      output_key: the producer's output that holds them: `published` of a ModulePublisher.
      properties: custom properties that the module must have, such as the `repository` and `name`
        that it was published with.
      node_id: id of the node, where a pipeline has several.
    """
    channels = {_MODULE: _channel(HubModule, producer, output_key)}
    if blessed_by is not None:
        blessing = tfx.types.standard_artifacts.ModelBlessing
        channels[_BLESSING] = _channel(blessing, blessed_by, "blessing")
    if fallback is not None:
        channels[_FALLBACK] = fallback
    config = {"properties": dict(properties)} if properties else None
    node = tfx.dsl.Resolver(strategy_class=LatestModuleStrategy, config=config, **channels)
    return node.with_id(node_id)


def _channel(artifact_type: Any, producer: str, output_key: str) -> Channel:
    return Channel(artifact_type, producer_component_id=producer, output_key=output_key)


def _verdicts(blessings: list[Any]) -> dict[int, Any]:
    """Id of a module -> its last verdict, where that is a blessing."""
    last = {
        blessing.get_int_custom_property(_MODEL_ID): blessing
        for blessing in sorted(blessings, key=lambda artifact: artifact.id)
    }
    return {module: b for module, b in last.items() if b.get_int_custom_property(_BLESSED) == 1}
