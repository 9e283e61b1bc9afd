"""ModuleEvaluator: from a module, a baseline and Examples to a verdict."""

import json
from collections.abc import Sequence

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseBeamComponent,
    BaseChannel,
    BeamExecutorSpec,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    RuntimeParameter,
)
from hub_tfx.artifacts import HubModule, ModuleEvaluation, RetrainDecision
from hub_tfx.components.module_evaluator.executor import Executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.config import EvaluateConfig

_artifacts = tfx.types.standard_artifacts


class ModuleEvaluatorSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModuleEvaluator."""

    PARAMETERS = {  # noqa: RUF012
        "config": ExecutionParameter(type=str),
        "feeding": ExecutionParameter(type=str),
        "baseline_feeding": ExecutionParameter(type=str, optional=True),
        "splits": ExecutionParameter(type=str),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=_artifacts.Examples),
        "module": ChannelParameter(type=HubModule),
        "baseline": ChannelParameter(type=HubModule, optional=True),
        "preprocessor": ChannelParameter(type=HubModule, optional=True),
        "schema": ChannelParameter(type=_artifacts.Schema, optional=True),
        "decision": ChannelParameter(type=RetrainDecision, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=ModuleEvaluation),
        "blessing": ChannelParameter(type=_artifacts.ModelBlessing),
    }


class ModuleEvaluator(BaseBeamComponent):  # type: ignore[misc]
    """Compares a module with a baseline on Examples, on Beam, and blesses it or not.

    A verdict against the module is a success of the component, as with TFX's Evaluator.

    Component `outputs` contains:
     - `evaluation`: Channel of type `ModuleEvaluation`: the verdict with its numbers, as JSON and
       as a page.
     - `blessing`: Channel of type `ModelBlessing` about the HubModule, with the file and the custom
       properties of TFX's Evaluator: `blessed` (1 or 0), `current_model` and `current_model_id`
       (URI and id of the module), `baseline_model` and `baseline_model_id` if there is one, and
       `blessing_message` (the first reason). `latest_module(blessed_by=…)` reads it.

    No artifacts where a `decision` says that there was nothing to learn from.
    """

    SPEC_CLASS = ModuleEvaluatorSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        module: BaseChannel,
        *,
        config: EvaluateConfig | str | RuntimeParameter,
        baseline: BaseChannel | None = None,
        feeding: EmbedConfig | str | RuntimeParameter | None = None,
        baseline_feeding: EmbedConfig | str | RuntimeParameter | None = None,
        preprocessor: BaseChannel | None = None,
        schema: BaseChannel | None = None,
        splits: Sequence[str] = ("eval",),
        decision: BaseChannel | None = None,
    ):
        """Constructs a ModuleEvaluator.

        Args:
          examples: A channel of type `Examples` with tf.Example payloads.
          module: A channel of type `HubModule`: the candidate.
          config: an EvaluateConfig, or its JSON.
          baseline: A channel of type `HubModule`: the module to compare it with. It may be optional
            and hold none, as in a first run.
          feeding: an EmbedConfig, or its JSON: how rows are fed to the candidate.
          baseline_feeding: the same of the baseline; None for that of the candidate.
          preprocessor: A channel of type `HubModule`: a module that takes the features and feeds
            both modules.
          schema: A channel of type `Schema`. Without it the types of features come from the first
            1,000 examples.
          splits: splits of the Examples that are measured; rows that no module was trained on.
          decision: A channel of type `RetrainDecision`: whether there is a module at all.

        Raises:
          ConfigError: a JSON is not that of its config, or no split is named.
        """
        if isinstance(splits, str) or not splits:
            raise ConfigError(f"splits takes a list of names of splits, not {splits!r}")
        if isinstance(config, str):
            config = EvaluateConfig.from_json(config)
        super().__init__(
            spec=ModuleEvaluatorSpec(
                examples=examples,
                module=module if decision is None else module.as_optional(),
                baseline=baseline,
                preprocessor=preprocessor,
                schema=schema,
                decision=decision,
                config=config.to_json() if isinstance(config, EvaluateConfig) else config,
                feeding=_embed_json(feeding or EmbedConfig()),
                baseline_feeding=baseline_feeding and _embed_json(baseline_feeding),
                splits=json.dumps(list(splits)),
                hub_tfx_version=__version__,
                evaluation=Channel(type=ModuleEvaluation),
                blessing=Channel(type=_artifacts.ModelBlessing),
            )
        )


def _embed_json(config: EmbedConfig | str | RuntimeParameter) -> str | RuntimeParameter:
    if isinstance(config, str):
        config = EmbedConfig.from_json(config)
    return config.to_json() if isinstance(config, EmbedConfig) else config
