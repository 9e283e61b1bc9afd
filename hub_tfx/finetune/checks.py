"""What a module must be before it is trained, and a tuned one before anybody gets it: complete,
compatible, and on its own."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from hub_tfx.errors import AuthoringError
from hub_tfx.module.check.hermetic import load_moved
from hub_tfx.module.gradients import unsaved_gradients
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleSpec, TensorInfo

_LOAD_TIMEOUT_S = 600.0
_OPERATION = re.compile(r"op type: (\w+)")


def check_gradients(base: str | os.PathLike[str], differentiate: Callable[[], object]) -> None:
    """Finds out before training whether a module can be trained that was saved without gradients
    of its own: it cannot where they are on the way to its variables.

    Args:
      base: the module's directory.
      differentiate: builds its gradients; not called for a module that has all of them.

    Raises:
      AuthoringError: it cannot.
    """
    if unsaved_gradients(base):
        with naming_gradients(base):
            differentiate()


@contextmanager
def naming_gradients(base: str | os.PathLike[str]) -> Iterator[None]:
    """While gradients are built: raises AuthoringError where there is none for an operation."""
    try:
        yield
    except LookupError as error:
        if "gradient" not in str(error).lower():
            raise
        raise _not_trainable(base, unsaved_gradients(base), str(error)) from error


def _not_trainable(
    base: str | os.PathLike[str], unsaved: Iterable[str], error: str
) -> AuthoringError:
    operation = _OPERATION.search(error)
    why = f"its operation {operation[1]} has no gradient" if operation else error
    fix = "import the package that registers one"
    if unsaved:
        why = f"it was saved without the gradients of its own operations ({', '.join(unsaved)})"
        fix = "export it with tf.saved_model.SaveOptions(experimental_custom_gradients=True)"
    return AuthoringError(
        f"{base} cannot be trained: {why}; freeze it to train a head on it as it is (--freeze), or "
        f"{fix}"
    )


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
        raise AuthoringError(f"the tuned module loads only where it was made: {why}")


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
