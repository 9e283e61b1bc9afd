"""From a document to the dataclass of a pipeline, with everything that is wrong told at once."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hub_tfx._config import Form, WrongValueError, kind_of
from hub_tfx._files import odd_name
from hub_tfx._text import hint as hint_at
from hub_tfx._text import nearest, quoted, shortened
from hub_tfx._yaml import Items, Node, Pairs, Scalar
from hub_tfx.errors import HubTfxError
from hub_tfx_pipelines.config_file.document import (
    MAX_PROBLEMS,
    Document,
    Path,
    Problem,
    raise_problems,
)
from hub_tfx_pipelines.config_file.registry import PIPELINE

_Config = TypeVar("_Config")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_INFINITE = {".inf": math.inf, "+.inf": math.inf, "-.inf": -math.inf}
_TRUTH = {"true": True, "false": False}
_MAX_DIGITS = 400
_MAX_SHOWN_CHARS = 200
_WRONG = object()
"""In the place of a value about which a problem was told."""


def build(document: Document, config: type[_Config]) -> _Config:
    """The dataclass of a document.

    Raises:
      ConfigFileError: something is wrong; each problem is told with file, line and key.
    """
    built, problems = build_or_problems(document, config)
    raise_problems(problems)
    assert built is not None
    return built


def build_or_problems(
    document: Document, config: type[_Config]
) -> tuple[_Config | None, list[Problem]]:
    """The dataclass of a document, or None and everything that is wrong with it."""
    builder = _Builder(document, config, list(document.problems))
    built = builder.dataclass(config, document.root, ())
    return (None if builder.problems else built), builder.problems


def core_of(hint: Any) -> Any:
    """The type of an annotation without ``None`` and what Annotated adds; ``str`` of a Form."""
    if get_origin(hint) is Annotated:
        inner, extra = get_args(hint)[:2]
        return str if isinstance(extra, Form) else core_of(inner)
    if get_origin(hint) in (Union, UnionType):
        [inner] = [argument for argument in get_args(hint) if argument is not type(None)]
        return core_of(inner)
    return hint


def form_of(hint: Any) -> Form | None:
    """The Form of an annotation; None if it has none."""
    if get_origin(hint) is Annotated:
        extra = get_args(hint)[1]
        return extra if isinstance(extra, Form) else None
    forms = (form_of(inner) for inner in get_args(hint) if inner is not type(None))
    return next(forms, None) if is_optional(hint) else None


def is_optional(hint: Any) -> bool:
    """Whether None is a value of an annotation."""
    return type(None) in get_args(hint)


def has_default(key: "Field[Any]") -> bool:
    return (key.default, key.default_factory) != (MISSING, MISSING)


def hints_of(config: Any) -> dict[str, Any]:
    """Key -> annotation of a dataclass."""
    hints = get_type_hints(config, include_extras=True)
    return {key.name: hints[key.name] for key in fields(config)}


def paths_of(config: Any, above: Path = ()) -> Iterator[Path]:
    """The paths of all keys of a dataclass, and of those that it holds."""
    for name, hint in hints_of(config).items():
        yield (*above, name)
        if is_dataclass(core := core_of(hint)):
            yield from paths_of(core, (*above, name))


@dataclass
class _Builder:
    document: Document
    config: Any
    problems: list[Problem] = field(default_factory=list)

    def tell(self, path: Path, line: int, what: str, cause: HubTfxError | None = None) -> Any:
        where = self.document.origin_of(path, line)
        self.problems.append(Problem(where, _shown(path), what, line, cause=cause))
        return _WRONG

    def dataclass(self, config: Any, node: Pairs, path: Path) -> Any:
        before = len(self.problems)
        hints, values = hints_of(config), dict[str, Any]()
        for name, key, value in self._keys(node, path, hints):
            values[name] = self.value(hints[name], _at(value, key.line), (*path, name))
        given = {key.text for key, _ in node.pairs}
        for of in fields(config):
            if not has_default(of) and of.name not in given:
                self._tell_missing((*path, of.name), node.line, hints[of.name])
        if len(self.problems) > before:
            return _WRONG
        try:
            return config(**values)
        except HubTfxError as error:
            return self._tell_error(error, node, path)

    def _tell_missing(self, path: Path, line: int, hint: Any) -> None:
        where, what = self.document.origin_of(path, line), f"is missing; it takes {_takes(hint)}"
        self.problems.append(Problem(where, _shown(path), what, line, missing=path))

    def _keys(
        self, node: Pairs, path: Path, hints: Mapping[str, Any]
    ) -> Iterator[tuple[str, Scalar, Node]]:
        """The keys that are known, and their values."""
        seen: dict[str, int] = {}
        for key, value in node.pairs:
            name, here = key.text, (*path, key.text)
            if len(self.problems) > MAX_PROBLEMS:  # The rest is not told.
                return
            if name in seen:
                what = f"is there twice, first on line {seen[name]}: remove one of them"
                self.tell(here, key.line, what)
            elif name in hints:
                yield name, key, value
            elif here != (PIPELINE,):
                self.tell(here, key.line, self._unknown(name, path, hints))
            seen.setdefault(name, key.line)

    def _unknown(self, name: str, path: Path, hints: Mapping[str, Any]) -> str:
        allowed = ", ".join(hints if path else (PIPELINE, *hints))
        elsewhere = [p for p in paths_of(self.config) if p[-1] == name]
        near = nearest(name, hints, lambda key: _shown((*path, key)))
        if not near and elsewhere:
            near = _shown(elsewhere[0])
        what = f"{quoted(name)} is not a key" if not name.isidentifier() else "is not a key"
        return f"{what}; allowed are {allowed}{hint_at(near)}"

    def _tell_error(self, error: HubTfxError, node: Pairs, path: Path) -> Any:
        """Tells what is wrong between keys, at the key that the message begins with."""
        first = re.split(r"\W", str(error), maxsplit=1)[0]
        named = [key for key, _ in node.pairs if key.text in (first, f"{first}s")]
        if named:
            return self.tell((*path, named[0].text), named[0].line, str(error), error)
        return self.tell(path, node.line, str(error), error)

    def value(self, hint: Any, node: Node, path: Path) -> Any:
        """The value of a key, or _WRONG after telling why."""
        core = core_of(hint)
        if isinstance(node, Scalar) and node.is_null:
            if is_optional(hint):
                return None
            return self.tell(path, node.line, f"is empty; it takes {_takes(hint)}")
        if is_dataclass(core):
            if isinstance(node, Pairs):
                return self.dataclass(core, node, path)
            return self.tell(path, node.line, f"takes {_takes(hint)}, not {_given(node)}")
        value = _number_of_form(hint, node) or self._plain(core, node, path)
        if _is_wrong(value):
            return _WRONG
        return self._converted(hint, value, node, path)

    def _converted(self, hint: Any, value: Any, node: Node, path: Path) -> Any:
        kind, core = kind_of(hint), core_of(hint)
        try:
            if value is not None:
                return kind.convert(value)
        except WrongValueError:
            pass
        except HubTfxError as error:
            for line in error.lines:
                self.tell(path, node.line, line, error)
            return _WRONG
        near = ""
        if get_origin(core) is Literal and isinstance(node, Scalar):
            near = nearest(node.text, get_args(core))
        what = f"takes {kind.words}, not {_given(node)}{hint_at(near)}{_advice(core, node)}"
        return self.tell(path, node.line, what)

    def _plain(self, core: Any, node: Node, path: Path) -> Any:
        """What stands there as a plain value; None if it is of another type."""
        arguments = get_args(core)
        if get_origin(core) is tuple:
            if not isinstance(node, Items):
                return None
            inner = [arguments[min(i, len(arguments) - 1)] for i in range(len(node.items))]
            inner = [arguments[0]] * len(inner) if arguments[-1] is ... else inner
            items = enumerate(zip(inner, node.items, strict=True))
            return tuple(self.value(h, item, (*path, f"[{i}]")) for i, (h, item) in items)
        if get_origin(core) is Mapping:
            return self._mapping(arguments[1], node, path) if isinstance(node, Pairs) else None
        if not isinstance(node, Scalar):
            return None
        if core is str:
            return self._text(node, path)
        return _parsed(core, node)

    def _mapping(self, inner: Any, node: Pairs, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.pairs:
            here = (*path, key.text)
            if key.text in values:
                self.tell(here, key.line, "is there twice: remove one of them")
            name = self._text(key, here)
            values[key.text] = (
                _WRONG if name is _WRONG else self.value(inner, _at(value, key.line), here)
            )
        return values

    def _text(self, node: Scalar, path: Path) -> Any:
        if not (node.is_text or self.document.is_set(path)):
            what = f"{quoted(node.text)[1:-1]} is not a text to YAML: put it in quotes"
            return self.tell(path, node.line, what)
        if "\0" in node.text or odd_name(node.text) is not None:
            what = f"{quoted(node.text)} holds a character that no name may hold: remove it"
            return self.tell(path, node.line, what)
        return node.text


def _parsed(core: Any, node: Scalar) -> Any:
    """A number, a truth value or a choice; None if it is not one."""
    if get_origin(core) is Literal:
        return node.text
    if node.is_text:
        return None
    if core is bool:
        return _TRUTH.get(node.text.lower())
    if core is int:
        return int(node.text) if _WHOLE.fullmatch(node.text) else None
    if node.text.lower() in _INFINITE:
        return _INFINITE[node.text.lower()]
    if len(node.text) > _MAX_DIGITS or not _NUMBER.fullmatch(node.text):
        return None
    number = float(node.text)
    return number if math.isfinite(number) else None  # 1e400 is too large; .inf is not.


def _number_of_form(hint: Any, node: Node) -> str | None:
    """The text of a number, where a Form takes one."""
    if not isinstance(node, Scalar) or node.is_text or not _NUMBER.fullmatch(node.text):
        return None
    form = form_of(hint)
    return node.text if form is not None and form.numbers else None


def _is_wrong(value: Any) -> bool:
    held = value.values() if isinstance(value, dict) else value
    return value is _WRONG or (isinstance(value, (tuple, dict)) and any(v is _WRONG for v in held))


def _at(node: Node, line: int) -> Node:
    """A value of nothing has the line of what comes next; it gets that of its key."""
    if isinstance(node, Scalar) and node.is_null:
        return Scalar(line, "", is_null=True)
    return node


def _takes(hint: Any) -> str:
    """What a key takes; of keys and values, which."""
    core = core_of(hint)
    return f"the keys {', '.join(hints_of(core))}" if is_dataclass(core) else kind_of(hint).words


def _given(node: Node) -> str:
    if isinstance(node, Scalar):
        return quoted(node.text)
    return "a list" if isinstance(node, Items) else "keys and values"


def _advice(core: Any, node: Node) -> str:
    """What to write where a list has one item, or a number is in quotes."""
    if get_origin(core) is tuple and isinstance(node, Scalar):
        return f": write [{quoted(node.text)[1:-1]}]"
    return ""


def _shown(path: Path) -> str:
    """A path with points, as `--set` takes it, and items of lists with their number."""
    shown = "".join(part if part.startswith("[") else f".{part}" for part in path)
    shown = shown.removeprefix(".")
    return shortened(shown, _MAX_SHOWN_CHARS) if shown.isprintable() else quoted(shown)
