"""Runs a pipeline on this machine: LocalDagRunner, ML Metadata in SQLite or on a server.

`hub-tfx run` is its command; `python -m hub_tfx_pipelines.run_local` is the old name of that.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.names import run_renamed
from hub_tfx.errors import ConfigError

if TYPE_CHECKING:
    from hub_tfx.module.policy import SafetyPolicy
    from hub_tfx_pipelines.configs import (
        EmbedPipelineConfig,
        FineTunePipelineConfig,
        PipelineConfig,
        RetrainPipelineConfig,
    )

_Config = TypeVar("_Config", bound="PipelineConfig")
_Judged = TypeVar("_Judged", bound="FineTunePipelineConfig")
_Steps = Mapping[str, Mapping[str, dict[str, Any]]]
"""Name of a step -> output -> its URI as the output's name has it, and its properties."""


def run_embed(config: "EmbedPipelineConfig") -> dict[str, Any]:
    """Runs the embedding pipeline and reads its result back from ML Metadata.

    Args:
      config: an EmbedPipelineConfig with metadata or a metadata_path.

    Returns:
      The URI of the ``embeddings`` and their properties; with a root of embeddings, the number of
      its latest ``generation`` and where that is, as ``location``.

    Raises:
      ConfigError: the config does not say where ML Metadata is.
      HubTfxError: the input is missing, the module cannot be resolved, a step failed, or the run
        is not complete.
    """
    from hub_tfx_pipelines.embed_pipeline import create_pipeline

    steps = _run(_for_engine(config), create_pipeline)
    return {**steps["EmbeddingGenerator"]["embeddings"], **_pushed(steps)}


def run_finetune(config: "FineTunePipelineConfig") -> dict[str, Any]:
    """Runs the fine-tuning pipeline and reads its result back from ML Metadata.

    Args:
      config: a FineTunePipelineConfig with metadata or a metadata_path.

    Returns:
      The URI of the new ``module`` artifact and its properties. If the config has a gate, also the
      ``verdict``, its ``reason`` and the page with the ``report``; if it was published, the handle
      of the version as ``published``, or as ``not_published`` why another run was first; with an
      eval_config, ``model_blessed`` (1 or 0), the verdict of TFX's Evaluator on the serving model.

    Raises:
      HubTfxError: as ``run_embed``.
    """
    from hub_tfx_pipelines.finetune_pipeline import create_pipeline

    steps = _run(with_baseline(_for_engine(config)), create_pipeline)
    return {**steps["ModuleTrainer"]["module"], **_outcome(steps)}


def run_retrain(config: "RetrainPipelineConfig") -> dict[str, Any]:
    """Runs the retraining pipeline and reads its result back from ML Metadata.

    Args:
      config: a RetrainPipelineConfig with metadata or a metadata_path.

    Returns:
      ``learn`` (1 or 0), and why, as ``decided``; where it has learned, what ``run_finetune``
      returns as well; the URI of the ``embeddings``, their ``rows``, how many of them were copied
      from an earlier run as ``reused``, and the digest of the module as ``embedded_with``; with a
      root of embeddings, its latest ``generation`` and the ``location`` of that.

    Raises:
      ConfigError: the gate names a baseline.
      HubTfxError: as ``run_embed``.
    """
    config.check_baseline()
    config = _for_engine(config)
    config = with_baseline(config, config.module, config.module_digest)
    steps = _run(config, _planned_pipeline)
    decision = steps["RetrainGate"]["decision"]
    embeddings = steps["EmbeddingGenerator"]["embeddings"]
    return {
        "learn": decision["learn"],
        "decided": decision["reason"],
        **steps["ModuleTrainer"].get("module", {}),
        **_outcome(steps),
        **{name: embeddings[name] for name in ("embeddings", "rows", "reused")},
        "embedded_with": embeddings["module_digest"],
        **_pushed(steps),
    }


def _planned_pipeline(config: "RetrainPipelineConfig") -> Any:
    """The retraining pipeline, with its spans pinned: TFX's cache notices when they change."""
    from hub_tfx_pipelines.retrain_pipeline import create_pipeline
    from hub_tfx_pipelines.windows import plan_windows

    return create_pipeline(config, plan_windows(config))


def with_baseline(
    config: _Judged, fallback: str | None = None, fallback_digest: str | None = None
) -> _Judged:
    """The config with the baseline pinned: the one it names, otherwise the version in use.

    Args:
      config: a config with or without a gate.
      fallback: handle of what is in use while there is no version; None for nothing.
      fallback_digest: the digest that the fallback must have; None for any.

    Raises:
      HubTfxError: the baseline cannot be resolved, or the repository cannot be read.
    """
    gate = config.gate
    if gate is None:
        return config
    baseline, digest = gate.baseline, gate.baseline_digest
    if baseline is None and config.publication is not None:
        baseline = config.publication.in_use()
    if baseline is None:
        baseline, digest = fallback, fallback_digest
    if baseline is None:
        return config
    handle, digest = _resolved(baseline, digest, config.safety)
    return replace(config, gate=replace(gate, baseline=handle, baseline_digest=digest))


def _outcome(steps: _Steps) -> dict[str, Any]:
    """What became of the module: its verdict, and its version."""
    outcome = {}
    if evaluation := steps.get("ModuleEvaluator", {}).get("evaluation"):
        outcome = {
            "verdict": evaluation["verdict"],
            "reason": evaluation["reason"],
            "report": f"{evaluation['evaluation']}/report.html",
        }
    if published := steps.get("ModulePublisher", {}).get("published"):
        if published.get("outcome", "published") == "published":
            outcome["published"] = published["handle"]
        else:
            outcome["not_published"] = f"{published['outcome']}: {published['why']}"
    if judged := steps.get("Evaluator", {}).get("blessing"):
        outcome["model_blessed"] = judged["blessed"]
    return outcome


def _for_engine(config: _Config) -> _Config:
    """The config whose folders are found by the workers of its Beam steps, wherever they run.

    The digests of its lock file are in it.

    Raises:
      ConfigError: the Beam steps cannot run as they are to.
    """
    from hub_tfx.beam.runner import check_engine
    from hub_tfx.beam.staging import check_reach, path_for_workers

    arguments = config.beam_pipeline_args
    check_engine(arguments)
    check_reach((config.data_root, config.pipeline_root), arguments)
    return replace(
        config.pinned(),
        data_root=path_for_workers(config.data_root, arguments),
        pipeline_root=path_for_workers(config.pipeline_root, arguments),
    )


def _pushed(steps: _Steps) -> dict[str, Any]:
    """The latest generation of the root of embeddings, if there is one."""
    pushed = steps.get("EmbeddingPusher", {}).get("pushed", {})
    return {name: pushed[name] for name in ("generation", "location") if name in pushed}


def _run(config: _Config, create_pipeline: Callable[[_Config], Any]) -> _Steps:
    """Runs a pipeline, and reads what its steps made back.

    Modules are resolved before anything starts and their digests pinned, so that TFX's execution
    cache notices new bytes behind an old handle; an alias of a repository becomes a number.
    """
    from hub_tfx.data.files import find_files
    from hub_tfx.lineage.store import open_store, properties_of
    from hub_tfx_pipelines import metadata
    from hub_tfx_pipelines.local_runner import LocalRunner

    connection = config.connection
    if connection is None:
        raise ConfigError(
            "the config has no metadata_path and no metadata: name the SQLite file to keep runs in"
        )
    if connection.backend != "sqlite":
        open_store(connection)  # Before modules are fetched: it may say that this is in vain.
    quiet_libraries()  # Again: importing TFX has set its loggers up.
    if config.input_config is None:
        find_files([f"{config.data_root}/*"], config.example_gen)  # TFX would say less.
    if config.module is not None:
        handle, digest = _resolved(config.module, config.module_digest, config.safety)
        config = replace(config, module=handle, module_digest=digest)
    if config.preprocessor is not None:
        handle, digest = _resolved(config.preprocessor, config.preprocessor_digest, config.safety)
        config = replace(config, preprocessor=handle, preprocessor_digest=digest)
    pipeline = create_pipeline(config)
    runner = LocalRunner(connection)
    runner.run(pipeline)
    store = open_store(connection)
    executions = metadata.run(store, runner.run_id)
    metadata.check_complete(executions, len(pipeline.components))
    return {
        execution.type.rpartition(".")[2]: {
            output: {output: artifact.uri, **properties_of(artifact)}
            for output, artifact in metadata.outputs(store, execution).items()
        }
        for execution in executions
    }


def _resolved(handle: str, digest: str | None, policy: "SafetyPolicy") -> tuple[str, str]:
    """Resolves a module; the handle to name it by in the pipeline, and its digest."""
    from hub_tfx.store.cache import ModuleCache

    module = ModuleCache(policy=policy).resolve(handle, digest=digest, verify=True)
    return _pinned(handle, module.handle), module.digest


def _pinned(handle: str, resolved: str) -> str:
    """A handle whose alias, which may move while the pipeline runs, is the number that it had."""
    from hub_tfx.module.handle import ModuleHandle

    return resolved if ModuleHandle.parse(handle).is_in_repository else handle


if __name__ == "__main__":
    from hub_tfx_pipelines.cli import run

    sys.exit(run_renamed(run, sys.argv[1:], f"python -m {__spec__.name}", "hub-tfx run"))
