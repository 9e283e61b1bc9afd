"""RetrainGate: from Examples and what was learned last to a decision whether to train."""

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseChannel,
    BaseComponent,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    ExecutorClassSpec,
    RuntimeParameter,
)
from hub_tfx.artifacts import HubModule, RetrainDecision
from hub_tfx.components.remote_state import THIS_RUN, of_state_dir
from hub_tfx.components.retrain_gate.executor import Executor
from hub_tfx.errors import ConfigError
from hub_tfx.retrain.config import RetrainConfig

_artifacts = tfx.types.standard_artifacts


class RetrainGateSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of RetrainGate."""

    PARAMETERS = {  # noqa: RUF012
        "config": ExecutionParameter(type=str),
        "state_dir": ExecutionParameter(type=str, optional=True),
        "this_run": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=_artifacts.Examples),
        "statistics": ChannelParameter(type=_artifacts.ExampleStatistics, optional=True),
        "anomalies": ChannelParameter(type=_artifacts.ExampleAnomalies, optional=True),
        "base_module": ChannelParameter(type=HubModule, optional=True),
        "learned": ChannelParameter(type=RetrainDecision, optional=True),
        "module_in_use": ChannelParameter(type=HubModule, optional=True),
    }
    OUTPUTS = {"decision": ChannelParameter(type=RetrainDecision)}  # noqa: RUF012


class RetrainGate(BaseComponent):  # type: ignore[misc]
    """Decides whether there is anything to learn from, and says why.

    There is where a span is new or was rewritten since the last training that was complete, or the
    base module is another one; unless the examples have anomalies, or too few rows are new and none
    of the features that the config names has drifted.

    Component `outputs` contains:
     - `decision`: Channel of type `RetrainDecision`: ModuleTrainer, ModuleEvaluator and
       ModulePublisher take it, and do nothing where it says so.
    """

    SPEC_CLASS = RetrainGateSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)
    READS_REMOTE_STATE = of_state_dir

    def __init__(
        self,
        examples: BaseChannel,
        *,
        config: RetrainConfig | str | RuntimeParameter | None = None,
        statistics: BaseChannel | None = None,
        anomalies: BaseChannel | None = None,
        base_module: BaseChannel | None = None,
        learned: BaseChannel | None = None,
        module_in_use: BaseChannel | None = None,
        state_dir: str | RuntimeParameter | None = None,
    ):
        """Constructs a RetrainGate.

        Args:
          examples: A channel of type `Examples`. A span is known by the fingerprint of its content
            that WindowExampleGen gave it; if another ExampleGen made it, by `input_fingerprint`:
            names, sizes and times of its files.
          config: a RetrainConfig, or its JSON.
          statistics: A channel of type `ExampleStatistics`, which counts the rows.
          anomalies: A channel of type `ExampleAnomalies`, that of an ExampleValidator.
          base_module: A channel of type `HubModule`: the module that everything began with.
          learned: A channel of type `RetrainDecision`, or with nothing: what was learned last. See
            hub_tfx.components.latest_decision.
          module_in_use: A channel of type `HubModule`, or with nothing: what is in use. If it is a
            version of a repository, what that says to have learned counts as learned, too.
          state_dir: directory on any Beam filesystem, in which a ModulePublisher names what was
            learned last: for runners that resolve no artifacts of earlier runs. Such a gate decides
            in every run, whatever TFX's cache has.

        Raises:
          ConfigError: the JSON is not a RetrainConfig, or needs statistics that are not given.
        """
        if config is None or isinstance(config, str):
            config = RetrainConfig.from_json(config or "{}")
        if isinstance(config, RetrainConfig):
            if config.min_new_rows and statistics is None:
                raise ConfigError("min_new_rows needs statistics, which count the rows: give both")
            if config.drift and statistics is None:
                raise ConfigError("drift needs statistics, by which it is measured: give both")
            config = config.to_json()
        super().__init__(
            spec=RetrainGateSpec(
                examples=examples,
                statistics=statistics,
                anomalies=anomalies,
                base_module=base_module,
                learned=learned,
                module_in_use=module_in_use,
                config=config,
                state_dir=state_dir,
                this_run=None if state_dir is None else THIS_RUN,
                hub_tfx_version=__version__,
                decision=Channel(type=RetrainDecision),
            )
        )
