"""What a tuned module must be before anybody gets it: complete, compatible, and on its own."""

import os
from collections.abc import Iterable, Mapping

from hub_tfx.errors import AuthoringError
from hub_tfx.module.check.hermetic import load_moved
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleSpec, TensorInfo

_LOAD_TIMEOUT_S = 600.0


def check_tuned(
    tuned: str | os.PathLike[str], parent: ModuleSpec | None, imports: Iterable[str] = ()
) -> None:
    """All that a tuned module is checked for before it is handed over.

    Args:
      tuned: its directory.
      parent: whose signatures and graph variants it must have; None for a module without a parent.
      imports: packages that register what it needs, such as its ops.

    Raises:
      AuthoringError: it lacks something of its parent, or does not load by itself.
    """
    if parent is not None:
        check_compatible(tuned, parent)
    check_hermetic(tuned, imports)


def check_compatible(tuned: str | os.PathLike[str], parent: ModuleSpec) -> None:
    """Raises AuthoringError unless every signature of the parent is there: keys, dtypes, shapes."""
    spec = inspect(tuned)
    for name, signature in parent.signatures.items():
        mine = spec.signatures.get(name)
        if mine is None:
            raise AuthoringError(f"the tuned module lost the signature {name!r} of its parent")
        for side in ("inputs", "outputs"):
            _check_same(name, side, getattr(mine, side), getattr(signature, side))
    for tags in parent.tags:
        if tags not in spec.tags:
            raise AuthoringError(f"the tuned module lost the graph variant {set(tags) or '{}'}")


def check_hermetic(tuned: str | os.PathLike[str], imports: Iterable[str] = ()) -> None:
    """Raises AuthoringError unless each of the module's signatures loads in another process from a
    copy in another place, where ``imports`` were imported."""
    signatures = inspect(tuned).signatures
    passed, why = load_moved(tuned, signatures, _LOAD_TIMEOUT_S, imports)
    if not passed:
        raise AuthoringError(f"the tuned module does not load away from where it was made: {why}")


def _check_same(
    name: str, side: str, mine: Mapping[str, TensorInfo], parents: Mapping[str, TensorInfo]
) -> None:
    for key, info in parents.items():
        if key not in mine:
            raise AuthoringError(f"signature {name!r} of the tuned module lost {side} {key!r}")
        if mine[key] != info:
            raise AuthoringError(
                f"{side} {key!r} of signature {name!r} was {info}, in the tuned module {mine[key]}"
            )
