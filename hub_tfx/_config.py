"""What the configs of all jobs share: frozen dataclasses whose annotations are their rules.

    Count = Annotated[int, Range(least=1)]

    @dataclass(frozen=True)
    class PressConfig(JobConfig):
        NAME = "press config"

        paper: Literal["plain", "glossy"] = "plain"
        copies: Count = 1
        margins: tuple[Count, ...] = ()
        titles: Mapping[str, str] = field(default_factory=dict)
        deadline_s: Annotated[float, Range(above=0)] | None = None

Every value is checked against its annotation, however the config is made.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from hub_tfx.errors import ConfigError

Config = TypeVar("Config", bound="JobConfig")


@dataclass(frozen=True)
class Range:
    """The numbers that are allowed: ``Annotated[float, Range(least=0, below=1)]``.

    Attributes:
      least: the smallest one.
      above: a bound that is not allowed itself.
      most: the largest one.
      below: a bound that is not allowed itself; ``math.inf`` excludes infinity.
    """

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        ends = {"from": self.least, "above": self.above, "to": self.most, "below": self.below}
        return " ".join(
            f"{word} {end}" for word, end in ends.items() if end is not None and math.isfinite(end)
        )


@dataclass(frozen=True)
class Form:
    """A text with a form: ``Annotated[str, Form("a digest", parse_digest)]``.

    Attributes:
      words: what it is, for errors: "takes …".
      parse: gives what the config holds, of a text; raises HubTfxError.
      held: type of what the config holds, where that is not the text; such a value is taken, too.
      text: gives the text back of what is held.
      numbers: whether a number is taken as well, as its text.
    """

    words: str
    parse: Callable[[str], Any]
    held: type = str
    text: Callable[[Any], str] = str
    numbers: bool = False


@dataclass(frozen=True)
class Checked:
    """A dataclass whose values are what its annotations say, however it is made.

    An annotation is ``str``, ``bool``, ``int``, ``float`` or a ``Literal`` of texts; another
    dataclass; a ``tuple`` of these, or a ``Mapping`` from texts to them; ``… | None`` for what may
    be missing; or ``Annotated`` with a Range, a Form, or a text that tells in errors what the key
    takes. A list becomes a tuple, and every mapping a dict, as JSON would give them back.
    """

    def __post_init__(self) -> None:
        """Checks every value.

        Raises:
          ConfigError: a value is not what its annotation says; the message names the key.
          HubTfxError: a text does not have its Form.
        """
        config: Any = type(self)
        for name, kind in _kinds(config).items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, kind.convert(value))
            except WrongValueError:
                raise ConfigError(f"{name} takes {kind.words}, not {value!r}") from None


@dataclass(frozen=True)
class JobConfig(Checked):
    """A config with a JSON round trip: ``C.from_json(c.to_json()) == c``."""

    NAME: ClassVar[str] = "config"
    """What errors call it."""
    LATER: ClassVar[tuple[str, ...]] = ()
    """Fields that configs of earlier versions do not have. Where they are empty or false they are
    left out, so that a config has the JSON, and the digest, that it had then."""

    def to_json(self) -> str:
        """JSON with sorted keys; equal configs give equal bytes, which digests rely on."""
        document = asdict(self)
        for name in self.LATER:
            if not document[name]:
                del document[name]
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls: type[Config], text: str) -> Config:
        """The config of what ``to_json`` wrote, or a person: keys with a default may be missing.

        Raises:
          ConfigError: it is not JSON or not an object, a key is unknown, missing or has a value
            of another type or out of its range, or keys do not fit each other.
        """
        document = _parse(text, cls.NAME)
        known = {field.name: field for field in fields(cls)}
        if unknown := sorted(document.keys() - known.keys()):
            raise ConfigError(
                f"{cls.NAME}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}"
            )
        for name, field in known.items():
            has_default = (field.default, field.default_factory) != (MISSING, MISSING)
            if not has_default and name not in document:
                raise ConfigError(f"{cls.NAME}: `{name}` is missing, and it has no default")
        return cls(**document)


def _parse(text: str, what: str) -> dict[str, Any]:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the {what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"the {what} is not an object: write {{…}} with a value for each key")
    return document


# --- Annotations ---------------------------------------------------------------------------------


class WrongValueError(Exception):
    """A value is not what its annotation says; whoever catches it adds the name of the key."""


@dataclass(frozen=True)
class Kind:
    """What a key takes.

    Attributes:
      words: what comes after "takes" in an error.
      many: the same in the plural.
      convert: gives the value as the config holds it; raises WrongValueError, or the HubTfxError of
        a Form.
    """

    words: str
    many: str
    convert: Callable[[Any], Any]


@functools.cache
def _kinds(config: Any) -> Mapping[str, Kind]:
    hints = get_type_hints(config, include_extras=True)
    return {field.name: kind_of(hints[field.name]) for field in fields(config)}


def kind_of(hint: Any) -> Kind:
    """What an annotation says; raises TypeError for one that a config cannot have."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin is Annotated:
        form = arguments[1]
        is_form = isinstance(form, Form)
        return _of_form(form) if is_form else _annotated(kind_of(arguments[0]), form)
    if origin is Literal:
        words = " or ".join(filter(None, [", ".join(arguments[:-1]), arguments[-1]]))
        return _checked(words, words, lambda value: value in arguments)
    if origin in (Union, UnionType):
        [inner] = [kind_of(argument) for argument in arguments if argument is not type(None)]
        return _optional(inner)
    if origin is tuple:
        return _tuple_of(kind_of(arguments[0]), None if arguments[1] is ... else len(arguments))
    if origin is Mapping and arguments[0] is str:
        return _mapping_to(kind_of(arguments[1]))
    if is_dataclass(hint):
        return _instance_of(hint)
    raise TypeError(f"{hint} is not an annotation that a config knows")


def _checked(words: str, many: str, accepts: Callable[[Any], bool]) -> Kind:
    def convert(value: Any) -> Any:
        if not accepts(value):
            raise WrongValueError
        return value

    return Kind(words, many, convert)


def _instance_of(config: Any) -> Kind:
    return _checked("keys and values", "mappings", lambda value: isinstance(value, config))


def _is_number(value: Any, kinds: type | tuple[type, ...]) -> bool:
    is_one = isinstance(value, kinds) and not isinstance(value, bool)  # A bool is an int to Python.
    return is_one and value == value  # NaN does not equal itself, nor would its config.


_PLAIN: Mapping[Any, Kind] = {
    str: _checked("a text", "texts", lambda value: isinstance(value, str)),
    bool: _checked("true or false", "true or false", lambda value: isinstance(value, bool)),
    int: _checked("a whole number", "whole numbers", lambda value: _is_number(value, int)),
    float: _checked("a number", "numbers", lambda value: _is_number(value, (int, float))),
}


def _annotated(inner: Kind, extra: Range | str) -> Kind:
    if isinstance(extra, str):
        return Kind(extra, extra, inner.convert)

    def convert(value: Any) -> Any:
        if inner.convert(value) not in extra:
            raise WrongValueError
        return value

    return Kind(f"{inner.words} {extra}", f"{inner.many} {extra}", convert)


def _of_form(form: Form) -> Kind:
    def convert(value: Any) -> Any:
        if isinstance(value, form.held) and form.held is not str:
            return value
        if form.numbers and _is_number(value, (int, float)):
            value = str(value)
        if not isinstance(value, str):
            raise WrongValueError
        return form.parse(value)

    return Kind(form.words, form.words, convert)


def _optional(inner: Kind) -> Kind:
    words = f"{inner.words} or nothing"
    return Kind(words, words, lambda value: None if value is None else inner.convert(value))


def _tuple_of(inner: Kind, length: int | None) -> Kind:
    def convert(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)) or length not in (None, len(value)):
            raise WrongValueError
        return tuple(map(inner.convert, value))

    words = f"a list of {inner.many}" if length is None else f"a list of {length} {inner.many}"
    return Kind(words, words, convert)


def _mapping_to(inner: Kind) -> Kind:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise WrongValueError
        return {key: inner.convert(item) for key, item in value.items()}

    words = f"a mapping from texts to {inner.many}"
    return Kind(words, words, convert)
