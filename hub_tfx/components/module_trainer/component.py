"""ModuleTrainer: from a module and Examples to a tuned module and a serving model."""

import json
from typing import Any

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
)
from hub_tfx.artifacts import HubModule, RetrainDecision
from hub_tfx.components.module_trainer.executor import Executor
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.module.user_function import dotted

_artifacts = tfx.types.standard_artifacts
_DEFAULT_RUN_FN = "hub_tfx.finetune.run_fn.run_fn"


class ModuleTrainerSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModuleTrainer."""

    PARAMETERS = {  # noqa: RUF012
        "config": ExecutionParameter(type=str),
        "module_fn": ExecutionParameter(type=str, optional=True),
        "module_format": ExecutionParameter(type=str, optional=True),
        "run_fn": ExecutionParameter(type=str, optional=True),
        "module_file": ExecutionParameter(type=str, optional=True),
        "train_args": ExecutionParameter(type=tfx.proto.TrainArgs),
        "eval_args": ExecutionParameter(type=tfx.proto.EvalArgs),
        "custom_config": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=_artifacts.Examples),
        "base_module": ChannelParameter(type=HubModule, optional=True),
        "preprocessor": ChannelParameter(type=HubModule, optional=True),
        "transform_graph": ChannelParameter(type=_artifacts.TransformGraph, optional=True),
        "schema": ChannelParameter(type=_artifacts.Schema, optional=True),
        "raw_examples": ChannelParameter(type=_artifacts.Examples, optional=True),
        "module_in_use": ChannelParameter(type=HubModule, optional=True),
        "decision": ChannelParameter(type=RetrainDecision, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "module": ChannelParameter(type=HubModule),
        "model": ChannelParameter(type=_artifacts.Model),
        "model_run": ChannelParameter(type=_artifacts.ModelRun),
    }


class ModuleTrainer(BaseComponent):  # type: ignore[misc]
    """Fine-tunes a module on Examples, or trains a new one, with TFX's own Trainer.

    Component `outputs` contains:
     - `module`: Channel of type `HubModule`: the tuned module. It has no `handle` yet. Custom
       properties besides those of every HubModule: `parent_digest` and `parent_handle`, or for one
       without a parent `module_fn`; `frozen`, which is 1, where training left all bytes of the
       parent as they were; `preprocessor_digest` of one that was trained behind a
       preprocessor; `spans`, `config_digest`, `git_commit`; each metric as `metric_…`; how many
       rows were trained on as `rows_train`, evaluated on as `rows_eval`, and could not be learned
       from as `rows_left_out`, unless a run_fn of your own does not count them.
     - `model`: Channel of type `Model`: serves serialized raw tf.Examples, Transform inside.
     - `model_run`: Channel of type `ModelRun`: checkpoints, TensorBoard events, and in `left_out/`
       the rows that could not be learned from, with their reasons.

    No artifacts where a `decision` says that there is nothing to learn from.
    """

    SPEC_CLASS = ModuleTrainerSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        base_module: BaseChannel | None = None,
        *,
        config: FineTuneConfig | str,
        preprocessor: BaseChannel | None = None,
        module_fn: str | None = None,
        module_format: ModuleFormat | None = None,
        transform_graph: BaseChannel | None = None,
        schema: BaseChannel | None = None,
        run_fn: str | None = None,
        module_file: str | None = None,
        train_args: Any = None,
        eval_args: Any = None,
        custom_config: dict[str, Any] | None = None,
        raw_examples: BaseChannel | None = None,
        module_in_use: BaseChannel | None = None,
        decision: BaseChannel | None = None,
    ):
        """Constructs a ModuleTrainer.

        Args:
          examples: A channel of type `Examples`, transformed ones where there is a transform_graph.
          base_module: A channel of type `HubModule`: the module to start from.
          config: a FineTuneConfig, or its JSON.
          preprocessor: A channel of type `HubModule`: a module that takes the features and feeds
            the base module; it learns nothing.
          module_fn: `package.module:function` that builds a new module, where there is no
            base_module, or where that is optional (`as_optional()`) and holds none. See
            hub_tfx.finetune.new_module.NewModule. A run_fn of your own may do without both.
          module_format: of the new module: that of base_module, which is also the default; for
            module_fn either of `tf1_hub`, the default, and `saved_model`.
          transform_graph: A channel of type `TransformGraph`; the default run_fn needs it.
          schema: A channel of type `Schema`, for a run_fn of your own.
          run_fn: `package.module:function` that trains; ours if neither this nor module_file is
            given. See hub_tfx.finetune.run_fn for what it gets and what it must leave.
          module_file: path of a Python file with a function run_fn.
          train_args, eval_args: TFX's TrainArgs and EvalArgs: splits, and steps for a run_fn of
            your own. By default `train` and `eval`, and the steps of the config.
          custom_config: more for FnArgs.custom_config.
          raw_examples: A channel of type `Examples`, those that Transform read: `spans` are theirs,
            since Transform does not pass them on.
          module_in_use: A channel of type `HubModule`: the module to start from instead of
            base_module, unless the decision is to start from that.
          decision: A channel of type `RetrainDecision`: whether to train at all.

        Raises:
          ConfigError: the JSON is not a FineTuneConfig, both run_fn and module_file are given, or
            there is not one of base_module and module_fn.
        """
        if isinstance(config, str):
            config = FineTuneConfig.from_json(config)
        if run_fn and module_file:
            raise ConfigError("ModuleTrainer takes run_fn or module_file, not both")
        if base_module is not None and module_fn and not base_module.is_optional:
            raise ConfigError(
                "ModuleTrainer takes one of base_module, the module to start from, and module_fn, "
                "which builds a new one, unless base_module is optional: base_module.as_optional()"
            )
        if base_module is None and not (module_fn or run_fn or module_file):
            raise ConfigError(
                "ModuleTrainer needs base_module, the module to start from, or module_fn, which "
                "builds a new one"
            )
        if not module_file:
            run_fn = dotted(run_fn or _DEFAULT_RUN_FN)
        train_args = train_args or tfx.proto.TrainArgs(num_steps=config.steps)
        eval_args = eval_args or tfx.proto.EvalArgs(num_steps=config.eval_steps or 0)
        super().__init__(
            spec=ModuleTrainerSpec(
                examples=examples,
                base_module=base_module,
                preprocessor=preprocessor,
                transform_graph=transform_graph,
                schema=schema,
                raw_examples=raw_examples,
                module_in_use=module_in_use,
                decision=decision,
                config=config.to_json(),
                module_fn=module_fn,
                module_format=module_format,
                run_fn=run_fn,
                module_file=module_file,
                train_args=train_args,
                eval_args=eval_args,
                custom_config=json.dumps(custom_config or {}),
                hub_tfx_version=__version__,
                module=Channel(type=HubModule),
                model=Channel(type=_artifacts.Model),
                model_run=Channel(type=_artifacts.ModelRun),
            )
        )
