"""The executor of ModuleTrainer."""

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tfx._tfx import GenericExecutor, artifact_utils, get_fn
from hub_tfx.artifacts import read_module, write_module
from hub_tfx.components.module_trainer.local import local_inputs, local_outputs, upload
from hub_tfx.components.skipping import connected, decision_of, given, is_skipped
from hub_tfx.components.spans import spans_of
from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.new_module import NewModule, check_format
from hub_tfx.finetune.run_fn_job import fine_tune_with
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.retrain.decision import Decision


class Executor(GenericExecutor):  # type: ignore[misc]
    """Runs a run_fn as TFX's Trainer does, and takes the tuned module from it."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Fine-tunes a module.

        Args:
          input_dict:
            - examples: one or more Examples, of which the splits of train_args and eval_args.
            - base_module: one HubModule, or none.
            - preprocessor: one HubModule, or none.
            - transform_graph, schema: one of each, or none.
            - raw_examples: what examples were made of, or none.
            - module_in_use: one HubModule, or none.
            - decision: one RetrainDecision, or none.
          output_dict:
            - module: one HubModule.
            - model: one Model.
            - model_run: one ModelRun.
            All are taken out where the decision is to learn nothing.
          exec_properties: config (JSON of a FineTuneConfig), module_fn, module_format, run_fn or
            module_file, train_args, eval_args, custom_config.

        Raises:
          HubTfxError: the module cannot be trained, run_fn left none or no serving model, or what
            it left cannot be written; no artifact is published.
        """
        decision = decision_of(input_dict)
        if is_skipped(decision, output_dict, "ModuleTrainer", self._context):
            return
        config = FineTuneConfig.from_json(exec_properties["config"])
        base = _base(_start(input_dict, decision), exec_properties, config.imports)
        first = connected(input_dict, "preprocessor")
        preprocessor = None if first is None else read_module(first, config.imports)
        examples = input_dict.get("raw_examples") or input_dict["examples"]
        run_fn = get_fn(exec_properties, "run_fn")
        with tempfile.TemporaryDirectory() as name, local_inputs(input_dict) as inputs:
            folder = Path(name, "tuned")
            folder.mkdir()
            written = local_outputs(output_dict, Path(name, "written"))
            fn_args = self._GetFnArgs(inputs, written, exec_properties)
            tuned = fine_tune_with(run_fn, fn_args, base, config, folder, preprocessor)
            _check_model(Path(fn_args.serving_model_dir))
            upload(written, output_dict)
            write_module(
                artifact_utils.get_single_instance(output_dict["module"]),
                tuned.path,
                {
                    **_origin(base, tuned.path),
                    "preprocessor_digest": preprocessor.digest if preprocessor else None,
                    **_circumstances(examples, exec_properties["config"]),
                    **{f"metric_{name}": f"{value:.6g}" for name, value in tuned.metrics.items()},
                    **{f"rows_{name}": count for name, count in tuned.rows.items()},
                },
            )


def _check_model(serving: Path) -> None:
    """Raises AuthoringError where a run_fn left no serving model, as TFX's Trainer does."""
    if not any(path.is_file() for path in serving.rglob("*")):
        raise AuthoringError(
            "run_fn left no model: it saves one that serves to fn_args.serving_model_dir"
        )


def _start(input_dict: Mapping[str, Sequence[Any]], decision: Decision | None) -> Any | None:
    """The module to start from: that in use, unless the base is what is new."""
    in_use, base = given(input_dict, "module_in_use"), given(input_dict, "base_module")
    is_base_asked_for = decision is not None and decision.start == "base"
    return base if in_use is None or is_base_asked_for else in_use


def _base(
    artifact: Any | None, exec_properties: Mapping[str, Any], imports: Sequence[str]
) -> ResolvedModule | NewModule | None:
    """The base module, otherwise the new one of module_fn, otherwise None.

    A base module must have the format that is given, if one is. None is possible since the user's
    own run_fn may need no base.
    """
    module_format = exec_properties.get("module_format")
    if artifact is not None:
        parent = read_module(artifact, imports)
        check_format(module_format, parent)
        return parent
    if module_fn := exec_properties.get("module_fn"):
        return NewModule(module_fn, module_format or "tf1_hub")
    return None


def _origin(base: ResolvedModule | NewModule | None, tuned: Path) -> dict[str, str | int]:
    """Properties that say what the module was made of, and whether its bytes are the parent's."""
    if isinstance(base, NewModule):
        return {"module_fn": base.module_fn}
    if base is None:
        return {}
    frozen = {"frozen": 1} if Manifest.of_directory(tuned).digest == base.digest else {}
    return {"parent_handle": base.handle, "parent_digest": base.digest, **frozen}


def _circumstances(examples: Sequence[Any], config: str) -> dict[str, str | None]:
    """Properties that say how it was trained."""
    return {
        "spans": json.dumps(
            sorted({of.number for artifact in examples for of in spans_of(artifact)})
        ),
        "config_digest": hashlib.sha256(config.encode()).hexdigest(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the working directory, if that is in a git checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
