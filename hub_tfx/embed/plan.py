"""EmbedPlan: a config bound to a module and to the features of an input, and checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from hub_tfx.embed.columns import VALUE_TYPES, OutputColumn
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTER_COLUMNS
from hub_tfx.errors import ConfigError, SignatureError
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo, fed_by

SOLE_OUTPUT = "embedding"
"""Column of a module's only or default output."""
_DEFAULT_OUTPUT = "default"
_SERIALIZED_EXAMPLE_KEYS = ("examples", "input_example_tensor")
# What serving signatures call an input that takes serialized tf.Examples, never plain text.


class BatchError(ConfigError):
    """Rows do not go into the signature, or do not come out of it, along a batch dimension: it may
    have none.

    Attributes:
      others: output key -> column, of outputs that may come along one.
    """

    def __init__(self, message: str, others: Mapping[str, str] | None = None):
        super().__init__(message)
        self.others = others or {}


class NoFeatureError(ConfigError):
    """The input lacks features.

    Attributes:
      features: any of which would do.
    """

    def __init__(self, message: str, features: Sequence[str] = ()):
        super().__init__(message)
        self.features = features


@dataclass(frozen=True)
class EmbedPlan:
    """What is fed and what is written.

    Attributes:
      signature: name of the signature that is called.
      features: input key -> feature; a preprocessor's inputs where there is one.
      inputs: the same keys -> what they take.
      outputs: what is written of the module's outputs.
      keep: features that pass through.
      image_size: height and width of the images it is fed; None for each image's own.
      call_rows: rows that each call must have; None for any number.
      no_batch: whether the signature takes a row without a batch dimension. ``inputs`` and
        ``outputs`` are then as if it had one.
    """

    signature: str
    features: Mapping[str, str]
    inputs: Mapping[str, TensorInfo]
    outputs: tuple[OutputColumn, ...]
    keep: tuple[str, ...]
    image_size: tuple[int, int] | None = None
    call_rows: int | None = None
    no_batch: bool = False

    @property
    def needed(self) -> tuple[str, ...]:
        """The features to read: inputs and kept ones, each once."""
        return tuple(dict.fromkeys([*self.features.values(), *self.keep]))

    @property
    def output_fields(self) -> list[pa.Field]:
        """The columns that the outputs become."""
        return [field for column in self.outputs for field in column.fields]


def make_plan(
    config: EmbedConfig,
    spec: ModuleSpec,
    available: Iterable[str] | None,
    preprocessor: ModuleSpec | None = None,
) -> EmbedPlan:
    """Binds a config to a module and to the features that an input has.

    Args:
      config: what to feed, keep and write.
      spec: of the module.
      available: names of the features; None for an input without a single record, which has none
        to choose from and none to miss.
      preprocessor: of the module that takes the features and feeds the other one.

    Raises:
      SignatureError: the module has no such signature or key; the message lists those there are.
      ConfigError: a feature is missing, or two columns of the output have one name, or the module
        takes or gives what cannot be fed or written.
    """
    spec = spec.tagged(config.tags)
    name = config.signature or spec.default_signature
    signature = spec.signature(name)
    first = signature if preprocessor is None else preprocessor.signature()
    if preprocessor is not None:
        fed_by(signature, first)
    call_rows = 1 if config.no_batch else _call_rows([first, signature])
    if config.no_batch:
        first, signature = first.with_batch(), signature.with_batch()
    inputs = first.fed_inputs
    available = None if available is None else sorted(set(available))
    _check_keys("input", config.inputs, inputs, name)
    _check_keys("output", config.outputs, signature.outputs, name)
    _check_inputs(config, inputs, name)
    features = {
        key: _feature(key, info, config, len(inputs) == 1, available, name)
        for key, info in inputs.items()
    }
    for feature in config.keep:
        if available is not None and feature not in available:
            there_are = _there_are(available)
            raise NoFeatureError(f"no feature {feature!r} to keep; {there_are}", [feature])
    outputs = _outputs(config, signature, call_rows)
    keep = tuple(dict.fromkeys(config.keep))
    _check_columns([field.name for column in outputs for field in column.fields], keep)
    return EmbedPlan(
        name,
        features,
        inputs,
        outputs,
        keep,
        _image_size(config, inputs, spec.image_size),
        call_rows,
        config.no_batch,
    )


def file_inputs(inputs: Mapping[str, TensorInfo], config: EmbedConfig) -> tuple[str, ...]:
    """The inputs that are fed by files which a feature names: images, or else a sole string input,
    which gets the bytes."""
    if config.image_source != "path":
        return ()
    images = tuple(key for key, info in inputs.items() if info.is_image)
    texts = tuple(key for key, info in inputs.items() if info.dtype == "string")
    return images or (texts if len(texts) == 1 else ())


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
        candidates = [key, *(_usual_features(key, info, config) if is_sole else ())]
    if available is None:
        return candidates[-1]
    for candidate in candidates:
        if candidate in available:
            return candidate
    wanted = " or ".join(repr(c) for c in dict.fromkeys(candidates))
    raise NoFeatureError(
        f"input {key!r} ({info}) of signature {signature!r} wants feature {wanted}; "
        f"{_there_are(available)}; say which with {key}=FEATURE (--input-map)",
        candidates,
    )


def _usual_features(key: str, info: TensorInfo, config: EmbedConfig) -> tuple[str, ...]:
    if key in _SERIALIZED_EXAMPLE_KEYS:
        return ()
    if info.is_image:
        return ("path", "image") if config.image_source == "path" else ("image",)
    if info.dtype != "string":
        return ()
    return ("path", "image") if config.image_source == "path" else ("text",)


def _outputs(
    config: EmbedConfig, signature: SignatureSpec, call_rows: int | None
) -> tuple[OutputColumn, ...]:
    given = signature.outputs
    if not given:
        raise ConfigError("the signature gives nothing that can be written: name another one")
    if config.outputs:
        names = dict(config.outputs)
    elif len(given) == 1 or _DEFAULT_OUTPUT in given:
        names = {_DEFAULT_OUTPUT if _DEFAULT_OUTPUT in given else next(iter(given)): SOLE_OUTPUT}
    else:
        names = {key: key for key in given}
    _check_rows(names, given, call_rows)
    columns = tuple(
        OutputColumn.of(key, column, given[key], config) for key, column in names.items()
    )
    wanted = {
        "normalize": config.normalize and not any(column.normalize for column in columns),
        f"output_dtype {config.output_dtype}": config.output_dtype != "float32"
        and not any(column.packed for column in columns),
    }
    for option, has_no_effect in wanted.items():
        if has_no_effect:
            written = ", ".join(f"{column.key} ({given[column.key]})" for column in columns)
            raise ConfigError(f"{option} is for vectors of floats; what is written is {written}")
    return columns


def _check_rows(
    names: Mapping[str, str], outputs: Mapping[str, TensorInfo], call_rows: int | None
) -> None:
    """Refuses outputs that are of one size, whatever the number of rows."""
    shapes = {key: outputs[key].shape for key in names}
    fixed = [
        key
        for key, shape in shapes.items()
        if shape is not None and shape[:1] not in ((None,), (call_rows,))
    ]
    for key in fixed:
        is_one = shapes[key] == ()
        size = "one value for the whole batch, not one a row" if is_one else str(outputs[key])
        raise BatchError(
            f"output {key!r} is {size}, whatever the number of rows: name the outputs to write "
            "without it (--output-map KEY=COLUMN), or, if the signature takes one row at a time, "
            "embed with no_batch (--no-batch)",
            {other: name for other, name in names.items() if other not in fixed},
        )


def _check_inputs(config: EmbedConfig, inputs: Mapping[str, TensorInfo], signature: str) -> None:
    if not inputs:
        raise ConfigError(
            f"signature {signature!r} takes no input that can be fed: name another one"
        )
    for key, info in inputs.items():
        if info.shape == ():
            of_all = all(other.shape == () for other in inputs.values())
            raise (BatchError if of_all else ConfigError)(
                f"input {key!r} ({info}) of signature {signature!r} takes one value for the whole "
                "batch, and features have one a row: name another signature, or embed with "
                "no_batch (--no-batch), which calls this one once a row"
            )
        if not _is_feedable(info):
            raise (BatchError if _is_feedable(info.with_batch()) else ConfigError)(
                f"input {key!r} ({info}) of signature {signature!r} takes what no feature can "
                "hold: name another signature"
            )
    takes = ", ".join(f"{key} ({info})" for key, info in inputs.items())
    is_one_image = any(info.with_batch().is_image for info in inputs.values())
    if config.image_source == "path" and not file_inputs(inputs, config):
        raise (BatchError if is_one_image else ConfigError)(
            f"image_source path (--image-paths): signature {signature!r} takes neither images nor "
            f"one string, but {takes}"
        )
    if config.image_size is not None and not any(info.is_image for info in inputs.values()):
        raise (BatchError if is_one_image else ConfigError)(
            f"image_size (--image-size): signature {signature!r} takes {takes}, not images"
        )


def _is_feedable(info: TensorInfo) -> bool:
    if info.dtype not in VALUE_TYPES:
        return False
    if info.kind == "sparse":
        return info.shape is not None and len(info.shape) == 2
    if info.kind == "ragged":
        return info.shape is not None and None not in info.shape[1 + info.ragged_rank :]
    return True


def _image_size(
    config: EmbedConfig, inputs: Mapping[str, TensorInfo], attached: tuple[int, int] | None
) -> tuple[int, int] | None:
    size = config.image_size or attached
    for key, info in inputs.items():
        if not info.is_image:
            continue
        _, height, width, _ = info.shape or ()
        if height and width:
            if config.image_size not in (None, (height, width)):
                raise ConfigError(
                    f"image_size is {config.image_size}, but input {key!r} takes {info}"
                )
            size = height, width
    return size


def _call_rows(signatures: Iterable[SignatureSpec]) -> int | None:
    """The number of rows that the graph is built for, if it is."""
    sizes = {
        info.shape[0]
        for signature in signatures
        for info in signature.fed_inputs.values()
        if info.shape and info.shape[0] is not None
    }
    if len(sizes) > 1:
        raise BatchError(
            f"the inputs take batches of different sizes: {sorted(sizes)}; if the "
            "signature takes one row at a time, embed with no_batch (--no-batch)"
        )
    return next(iter(sizes), None)


def _check_keys(
    side: str, named: Mapping[str, str], known: Mapping[str, TensorInfo], signature: str
) -> None:
    for key in named:
        if key not in known:
            keys = ", ".join(f"{k} ({info})" for k, info in known.items())
            raise SignatureError(f"signature {signature!r} has no {side} {key!r}; it has {keys}")


def _check_columns(columns: Sequence[str], keep: Sequence[str]) -> None:
    names = [*columns, *keep]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"two columns of the output would be named {name!r}: "
                f"rename the embedding (--output-map KEY={name}_2) or do not keep the feature"
            )
        if name in DEAD_LETTER_COLUMNS:
            raise ConfigError(
                f"a column cannot be named {name!r}: dead letters have a column of that name"
            )


def _there_are(available: list[str]) -> str:
    return f"the input has {', '.join(available)}" if available else "the input has none"
