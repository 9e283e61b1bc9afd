"""The digest of what a user's function does: of its code and of all that this names."""

import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_LIBRARIES = tuple(
    sorted({str(Path(sysconfig.get_path(name))) for name in ("stdlib", "purelib", "platlib")})
)
_OURS = __name__.partition(".")[0]


def code_digest(function: Callable[..., Any]) -> str:
    """SHA-256, in hex, over a function's code, defaults and closure, and over whatever its code
    names: other functions and classes, plain values, and whole files of other modules.

    Comments and the places of lines make no difference. Libraries are taken by their names only, as
    are values that Python cannot write down, and what a function reads from files.
    """
    sha256 = hashlib.sha256()
    for part in _parts(function, set()):
        sha256.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    return sha256.hexdigest()


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    if isinstance(value, list | tuple | dict | set | frozenset):
        yield from _parts_of_items(value, seen)
        return
    if isinstance(value, str | bytes | int | float | complex | type(None) | type(...)):
        yield repr(value)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, CodeType):
        yield from (value.co_code.hex(), repr(value.co_names), repr(value.co_varnames))
        yield from _parts(value.co_consts, seen)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, ModuleType):
        yield from (value.__name__, _text_of(value))
    elif not _is_users(value):
        yield f"{type(value).__qualname__} {getattr(value, '__qualname__', '')}"
    elif isinstance(value, type):
        yield from _parts([value.__bases__, _without_dunders(vars(value))], seen)
    else:
        yield from _parts_of_function(inspect.unwrap(value), seen)


def _parts_of_items(value: Iterable[Any], seen: set[int]) -> Iterator[str]:
    yield type(value).__name__
    if isinstance(value, dict):
        value = value.items()
    elif isinstance(value, set | frozenset):
        value = sorted(value, key=repr)
    for item in value:
        yield from _parts(item, seen)


def _parts_of_function(function: Any, seen: set[int]) -> Iterator[str]:
    function = getattr(function, "__func__", function)  # Of a bound method.
    if not isinstance(function, FunctionType):
        yield type(function).__qualname__
        return
    yield from _parts(function.__code__, seen)
    yield from _parts([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        yield from _parts(cell.cell_contents, seen)
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:
            yield name
            yield from _parts(function.__globals__[name], seen)


def _names(code: CodeType) -> set[str]:
    """What a code object and those in it look up."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _without_dunders(members: Any) -> dict[str, Any]:
    kept = {"__init__", "__call__"}
    return {n: v for n, v in members.items() if n in kept or not n.startswith("__")}


def _is_users(value: Any) -> bool:
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    return module is not None and not _is_library(module)


def _is_library(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if module.__name__.partition(".")[0] == _OURS or (
        file is None and module.__name__ != "__main__"
    ):
        return True
    return str(file).startswith(_LIBRARIES)


def _text_of(module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    if file is None or _is_library(module):
        return ""
    try:
        return Path(file).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
