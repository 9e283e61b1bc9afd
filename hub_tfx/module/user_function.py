"""Functions of the user, found by name, and the variants that module functions build."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from hub_tfx.errors import ConfigError

Variants = list[tuple[set[str], dict[str, bool]]]


def import_function(name: str) -> Callable[..., Any]:
    """The function ``package.module:function``, or ``package.module.function``.

    Raises:
      ConfigError: the function does not exist, or its module cannot be imported.
    """
    module_name, _, function_name = name.rpartition(":" if ":" in name else ".")
    if not module_name or not function_name:
        raise ConfigError(f"module_fn {name}: expected PACKAGE.MODULE:FUNCTION")
    try:
        function: Any = importlib.import_module(module_name)
        for attribute in function_name.split("."):
            function = getattr(function, attribute)
    except AttributeError as error:
        raise ConfigError(f"module_fn {name}: {error}") from error
    except Exception as error:
        raise ConfigError(
            f"module_fn {name}: {module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not callable(function):
        raise ConfigError(f"module_fn {name}: it is not a function")
    return function  # type: ignore[no-any-return]


def dotted(name: str) -> str:
    """``package.module.function``, as TFX takes it, for ``package.module:function``."""
    return name.replace(":", ".")


def variants(function: Callable[..., Any]) -> Variants | None:
    """What hub.create_module_spec calls ``tags_and_args``, for a module function.

    A function with a parameter is_training has a variant without tags and one tagged ``train``;
    for any other the result is None.

    Raises:
      ConfigError: the function needs other arguments, which nothing gives it.
    """
    parameters = inspect.signature(function).parameters
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters.values() if p.default is p.empty and p.kind not in variadic]
    if unknown := [p.name for p in required if p.name != "is_training"]:
        raise ConfigError(
            f"module_fn: the function has the parameters {', '.join(unknown)}, which nothing "
            "gives it: only is_training may be without a default"
        )
    if "is_training" not in parameters:
        return None
    return [(set(), {"is_training": False}), ({"train"}, {"is_training": True})]
