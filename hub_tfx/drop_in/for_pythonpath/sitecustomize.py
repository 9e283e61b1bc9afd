"""Has hub_tfx resolve what a program asks TF Hub for, where the program cannot be changed.

Python imports this file at its start where its folder is at the front of PYTHONPATH. It imports
nothing of ours until TF Hub is imported, and then has the sitecustomize run that it hides.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _BesideTfHub:
    """Finds TF Hub for whoever imports it first, and adds the installation to its import."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "tensorflow_hub":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                from hub_tfx.drop_in.resolver import install_resolver

                install_resolver()

            # On the loader itself, so that it stays what tools expect of a package.
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _run_hidden() -> None:
    """Runs the sitecustomize that would be imported if this one were not there."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [folder for folder in sys.path if os.path.abspath(folder) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        spec.loader.exec_module(module_from_spec(spec))


sys.meta_path.insert(0, _BesideTfHub())  # type: ignore[arg-type]
_run_hidden()
