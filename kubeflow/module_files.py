"""Code of people that a step takes as `module_file`: refused where its container lacks it.

TFX's own steps package such a file into a wheel while they are compiled: into the pipeline root,
which need not be reachable from here, and for a pip that images for production do not have. Code
that is part of the image is named by where it is imported from, which every step takes.
"""

from typing import Any

from hub_tfx.errors import ConfigError

_FUNCTIONS = ("preprocessing_fn", "run_fn", "tuner_fn")


def check_module_files(pipeline: Any) -> None:
    """Refuses a `module_file` that is of this machine, or that TFX would package.

    Raises:
      ConfigError: a step has one; the message says what to name in its place.
    """
    from tfx.components.util.udf_utils import UserModuleFilePipDependency

    from hub_tfx.beam.staging import check_reach_of_containers

    for node in pipeline.components:
        file = node.exec_properties.get("module_file")
        if not (isinstance(file, str) and file):
            continue
        instead = f"put its code into a package of the image and name {_import_path(node)}"
        check_reach_of_containers([file], f"it is the module_file of {node.id}; {instead}")
        dependencies = getattr(node, "_pip_dependencies", ())
        if any(isinstance(one, UserModuleFilePipDependency) for one in dependencies):
            raise ConfigError(
                f"{node.id}: TFX would package its module_file {file} while compiling, and install "
                f"it in the container: {instead}"
            )


def _import_path(node: Any) -> str:
    """What the component takes in the place of a file."""
    from hub_tfx.components.module_trainer.component import ModuleTrainer

    if isinstance(node, ModuleTrainer):
        return "the function: run_fn='package.module:run_fn'"
    for name in _FUNCTIONS:
        if name in node.spec.PARAMETERS:
            return f"the function: {name}='package.module.{name}'"
    return "the module: module_path='package.module'"
