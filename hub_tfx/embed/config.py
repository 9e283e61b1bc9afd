"""EmbedConfig: what to feed, what to keep, and how it is checked before any worker starts."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hub_tfx.errors import ConfigError, SignatureError
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo

DEAD_LETTER_COLUMNS = ("key", "reason")
_SERIALIZED_EXAMPLE_KEYS = ("examples", "input_example_tensor")
# What serving signatures call an input that takes serialized tf.Examples, never plain text.

SOLE_OUTPUT = "embedding"
"""Column of a module's only output."""


@dataclass(frozen=True)
class EmbedConfig:
    """How rows become embeddings. ``from_json(c.to_json()) == c``; unknown keys are refused.

    Attributes:
      signature: which signature to call; None for ``__call__`` of a SavedModel that has it and
        ``default`` of the TF1 hub format.
      inputs: input key -> feature. An input that is not named takes the feature of its own name; a
        sole input else ``text`` if it takes strings and ``image`` if it takes images.
      outputs: output key -> column; if any is named, only these are written. Else a sole output
        becomes ``embedding`` and several keep their keys.
      keep: features that pass through unchanged.
      batch_size: rows a call of the module, at most.
      text_encoding: ``utf-8`` sends rows that are not valid UTF-8 to the dead letters; ``bytes``
        feeds string inputs whatever there is, such as encoded images.
      max_dead_letter_ratio: the job fails where more than this share of its rows is rejected, and
        always where all of them are.
    """

    signature: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    batch_size: int = 2048
    text_encoding: Literal["utf-8", "bytes"] = "utf-8"
    max_dead_letter_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, not {self.batch_size}")
        if not 0 <= self.max_dead_letter_ratio <= 1:
            raise ConfigError(
                f"max_dead_letter_ratio is a share from 0 to 1, not {self.max_dead_letter_ratio}"
            )
        if self.text_encoding not in ("utf-8", "bytes"):
            raise ConfigError(f"text_encoding is utf-8 or bytes, not {self.text_encoding!r}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "EmbedConfig":
        """Raises ConfigError for anything but what ``to_json`` writes, defaults left out or not."""
        document = parse_config(text, "embed config", [f.name for f in fields(cls)])
        try:
            return cls(**{**document, "keep": as_tuple("keep", document.get("keep", []))})
        except TypeError as error:
            raise ConfigError(f"embed config: a value has the wrong type: {error}") from error


def parse_config(text: str, what: str, known: Iterable[str]) -> dict[str, Any]:
    """The JSON object of a config; raises ConfigError for anything else and for unknown keys."""
    try:
        document: Any = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the {what} is not JSON: {error}") from error
    known = sorted(known)
    if not isinstance(document, dict) or (unknown := sorted(set(document) - set(known))):
        named = f"unknown key {unknown[0]!r}" if isinstance(document, dict) else "not an object"
        raise ConfigError(f"{what}: {named}; the keys are {', '.join(known)}")
    return document


def as_tuple(name: str, values: Any) -> tuple[Any, ...]:
    """A list of a JSON config; raises ConfigError for anything else, such as a lone string."""
    if not isinstance(values, list):
        raise ConfigError(f"{name} is a list, not {values!r}")
    return tuple(values)


@dataclass(frozen=True)
class EmbedPlan:
    """A config bound to a module and to the features of an input.

    Attributes:
      signature: name of the signature that is called.
      features: input key -> feature.
      columns: output key -> column of the output.
      keep: features that pass through.
      spec: the signature's inputs and outputs.
    """

    signature: str
    features: Mapping[str, str]
    columns: Mapping[str, str]
    keep: tuple[str, ...]
    spec: SignatureSpec

    @property
    def needed(self) -> tuple[str, ...]:
        """The features to read: inputs and kept ones, each once."""
        return tuple(dict.fromkeys([*self.features.values(), *self.keep]))


def make_plan(config: EmbedConfig, spec: ModuleSpec, available: Iterable[str] | None) -> EmbedPlan:
    """Binds a config to a module and to the features that an input has.

    Args:
      available: names of the features; None for an input without a single record, which has none
        to choose from and none to miss.

    Raises:
      SignatureError: the module has no such signature or key; the message lists those there are.
      ConfigError: a feature is missing, or two columns of the output have one name.
    """
    name = config.signature or spec.default_signature
    signature = spec.signature(name)
    available = None if available is None else sorted(set(available))
    _check_keys("input", config.inputs, signature.inputs, name)
    _check_keys("output", config.outputs, signature.outputs, name)
    features = {
        key: _feature(key, info, config, len(signature.inputs) == 1, available, name)
        for key, info in signature.inputs.items()
    }
    for feature in config.keep:
        if available is not None and feature not in available:
            raise ConfigError(f"no feature {feature!r} to keep; {_there_are(available)}")
    if not features:
        raise ConfigError(f"signature {name!r} takes no input that could be fed: name another one")
    columns = _columns(config, signature)
    keep = tuple(dict.fromkeys(config.keep))
    _check_unique([*columns.values(), *keep])
    for column in (*columns.values(), *keep):
        if column in DEAD_LETTER_COLUMNS:
            raise ConfigError(
                f"a column cannot be named {column!r}: dead letters have one of that name"
            )
    for key, column in columns.items():
        if signature.outputs[key].shape == ():
            raise ConfigError(
                f"output {key!r} is one value for the whole batch, not one a row: name the outputs "
                f"to write without it (--output-map KEY={column})"
            )
    return EmbedPlan(name, features, columns, keep, signature)


def is_image(info: TensorInfo) -> bool:
    """Whether a tensor has the shape and dtype of TF Hub's common image signatures."""
    return info.dtype == "float32" and info.shape is not None and len(info.shape) == 4


def _feature(
    key: str,
    info: TensorInfo,
    config: EmbedConfig,
    is_sole: bool,
    available: list[str] | None,
    signature: str,
) -> str:
    if (named := config.inputs.get(key)) is not None:
        candidates = [named]
    else:
        usual = "text" if info.dtype == "string" else "image" if is_image(info) else None
        if key in _SERIALIZED_EXAMPLE_KEYS:
            usual = None
        candidates = [key, usual] if is_sole and usual else [key]
    if available is None:
        return candidates[-1]
    for candidate in candidates:
        if candidate in available:
            return candidate
    wanted = " or ".join(repr(c) for c in dict.fromkeys(candidates))
    raise ConfigError(
        f"input {key!r} ({info}) of signature {signature!r} wants feature {wanted}; "
        f"{_there_are(available)}; say which with {key}=FEATURE (--input-map)"
    )


def _columns(config: EmbedConfig, signature: SignatureSpec) -> Mapping[str, str]:
    if config.outputs:
        return dict(config.outputs)
    if len(signature.outputs) == 1:
        return dict.fromkeys(signature.outputs, SOLE_OUTPUT)
    return {key: key for key in signature.outputs}


def _check_keys(
    side: str, named: Mapping[str, str], known: Mapping[str, TensorInfo], signature: str
) -> None:
    for key in named:
        if key not in known:
            keys = ", ".join(f"{k} ({info})" for k, info in known.items())
            raise SignatureError(f"signature {signature!r} has no {side} {key!r}; it has {keys}")


def _check_unique(columns: list[str]) -> None:
    for column in columns:
        if columns.count(column) > 1:
            raise ConfigError(
                f"two columns of the output would be named {column!r}: "
                f"rename the embedding (--output-map KEY={column}_2) or do not keep the feature"
            )


def _there_are(available: list[str]) -> str:
    return f"the input has {', '.join(available)}" if available else "the input has none"
