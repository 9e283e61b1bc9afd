"""What ModuleTrainer does."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tfx._tfx import GenericExecutor, artifact_utils, get_fn
from hub_tfx.artifacts import read_module, read_number, write_module
from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.checks import check_compatible, check_hermetic
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.new_module import NewModule, check_format
from hub_tfx.module.files import TF1_HUB_MARKER
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat


class Executor(GenericExecutor):  # type: ignore[misc]
    """Runs a run_fn of TFX's Trainer, and takes the tuned module from it."""

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
            - transform_graph, schema: one of each, or none.
            - raw_examples: what examples were made of, or none.
          output_dict:
            - module: one HubModule.
            - model: one Model.
            - model_run: one ModelRun.
          exec_properties: config (JSON of a FineTuneConfig), module_fn, module_format, run_fn or
            module_file, train_args, eval_args, custom_config.

        Raises:
          HubTfxError: the module cannot be trained, or run_fn left none behind; no artifact is
            published.
        """
        config = FineTuneConfig.from_json(exec_properties["config"])
        parent = _parent(input_dict, exec_properties)
        fn_args = self._GetFnArgs(input_dict, output_dict, exec_properties)
        with tempfile.TemporaryDirectory() as folder:
            module_dir = Path(folder, "module")
            base = parent or _new_module(exec_properties, Path(folder), config.seed)
            fn_args.base_model = str(base.path) if base else None
            fn_args.custom_config = (fn_args.custom_config or {}) | {
                "fine_tune": exec_properties["config"],
                "module_dir": str(module_dir),
            }
            get_fn(exec_properties, "run_fn")(fn_args)
            _take_exported(Path(fn_args.model_run_dir), module_dir)
            if base and not config.allow_signature_changes:
                check_compatible(module_dir, base.spec)
            check_hermetic(module_dir)
            write_module(
                artifact_utils.get_single_instance(output_dict["module"]),
                module_dir,
                _properties(
                    parent,
                    input_dict.get("raw_examples") or input_dict["examples"],
                    exec_properties,
                    fn_args,
                ),
            )


def _parent(
    input_dict: Mapping[str, list[Any]], exec_properties: Mapping[str, Any]
) -> ResolvedModule | None:
    """The base module, of which the format must be the given one, if any."""
    artifacts = input_dict.get("base_module")
    if not artifacts:
        return None
    parent = read_module(artifact_utils.get_single_instance(artifacts))
    check_format(exec_properties.get("module_format"), parent)
    return parent


def _new_module(
    exec_properties: Mapping[str, Any], folder: Path, seed: int
) -> ResolvedModule | None:
    """The module that module_fn builds, if there is one: a run_fn may do without."""
    if module_fn := exec_properties.get("module_fn"):
        module_format: ModuleFormat = exec_properties.get("module_format") or "tf1_hub"
        return NewModule(module_fn, module_format).create(folder, seed)
    return None


def _take_exported(model_run_dir: Path, module_dir: Path) -> None:
    """Copies the newest module that a LatestModuleExporter left, where run_fn left none itself."""
    if module_dir.is_dir():
        return
    exported = [
        marker.parent
        for marker in model_run_dir.glob(f"**/export/*/*/*/{TF1_HUB_MARKER}")
        if marker.parent.parent.name.isdigit()  # Not temp-*, which a killed export leaves.
    ]
    if not exported:
        raise AuthoringError(
            "run_fn left no module: it copies one to custom_config['module_dir'], or registers it "
            "with hub.register_module_for_export, in PREDICT mode too, and uses a "
            "hub.LatestModuleExporter below model_run_dir"
        )
    newest = max(exported, key=lambda path: int(path.parent.name))
    shutil.copytree(newest, module_dir)


def _properties(
    parent: ResolvedModule | None,
    examples: Sequence[Any],
    exec_properties: Mapping[str, Any],
    fn_args: Any,
) -> dict[str, str | int | None]:
    metrics_path = Path(fn_args.model_run_dir, "metrics.json")
    metrics = json.loads(metrics_path.read_text()) if metrics_path.exists() else {}
    return {
        "parent_handle": parent.handle if parent else None,
        "parent_digest": parent.digest if parent else None,
        "module_fn": None if parent else exec_properties.get("module_fn"),
        "spans": json.dumps(sorted({read_number(artifact, "span") for artifact in examples})),
        "config_digest": hashlib.sha256(exec_properties["config"].encode()).hexdigest(),
        "git_commit": _git_commit(),
        **{f"metric_{name}": f"{value:.6g}" for name, value in metrics.items()},
    }


def _git_commit() -> str | None:
    """The commit of the working directory, if it is one of a git checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
