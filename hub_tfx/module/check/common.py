"""The common signatures of TensorFlow Hub for text and images: which there are, what they need.

    text              string [batch]                -> default: float32 [batch, dim]
    text preprocessor string [batch]                -> the encoder's inputs
    text encoder      input_word_ids, input_mask,
                      input_type_ids: int32 [batch, seq]
                                                    -> default, pooled_output: float32 [batch, dim]
                                                       sequence_output: float32 [batch, seq, dim]
    image             images: float32 [batch, height, width, 3]
                                                    -> default: float32 [batch, dim or classes]

https://www.tensorflow.org/hub/common_signatures
"""

from collections.abc import Mapping

from hub_tfx.module.spec import CALL, ModuleSpec, SignatureSpec, TensorInfo

_NAMES = (CALL, "default", "image_feature_vector", "image_classification")
_IMAGES = "images"
_TOKENS = ("input_word_ids", "input_mask", "input_type_ids")
_UNKNOWN = -1  # In a wanted shape: any number that the graph says.

_TEXT = {"": ("string", (None,))}
_VECTOR = ("float32", (None, _UNKNOWN))
_TOKEN_IDS = dict.fromkeys(_TOKENS, ("int32", (None, None)))
_SEQUENCE = ("float32", (None, None, _UNKNOWN))
_PIXELS = ("float32", (None, None, None, 3))

_Wanted = Mapping[str, tuple[str, tuple[int | None, ...]]]
_KINDS: Mapping[str, tuple[_Wanted, _Wanted]] = {
    "text": (_TEXT, {"default": _VECTOR}),
    "text preprocessor": (_TEXT, _TOKEN_IDS),
    "text encoder": (
        _TOKEN_IDS,
        {"default": _VECTOR, "pooled_output": _VECTOR, "sequence_output": _SEQUENCE},
    ),
    "image": ({_IMAGES: _PIXELS}, {"default": _VECTOR}),
}


def common_signatures(spec: ModuleSpec) -> dict[str, str]:
    """Common signature -> what it is for, such as ``text``; those that are for neither left out."""
    names = [name for name in _NAMES if name in spec.signatures]
    if not names and spec.format == "saved_model" and "serving_default" in spec.signatures:
        names = ["serving_default"]
    kinds = {name: kind_of(name, spec.signatures[name]) for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def kind_of(name: str, signature: SignatureSpec) -> str | None:
    """What a signature is for, as far as its keys and dtypes tell; None if neither text nor image.

    A module that is meant for text and gives the wrong dtype is still for text.
    """
    inputs = list(signature.inputs.values())
    if name.startswith("image_") or _IMAGES in signature.inputs:
        return "image"
    if not signature.inputs.keys().isdisjoint(_TOKENS):
        return "text encoder"
    if len(inputs) != 1 or inputs[0].kind != "dense":
        return None
    if inputs[0].dtype == "string":
        if not signature.outputs.keys().isdisjoint(_TOKENS):
            return "text preprocessor"
        return "text" if _gives_vectors(signature) else None
    shape = inputs[0].shape
    return "image" if shape is not None and len(shape) == 4 and shape[3] == 3 else None


def problems(name: str, kind: str, signature: SignatureSpec) -> list[str]:
    """How a signature differs from the common one of its kind, in words."""
    wanted_inputs, wanted_outputs = _KINDS[kind]
    inputs = dict(signature.inputs)
    if len(wanted_inputs) == len(inputs) == 1 and ("" in wanted_inputs or name == CALL):
        # The key is the author's choice for text, and the argument's name for a callable object.
        [key] = inputs
        wanted_inputs = {key: next(iter(wanted_inputs.values()))}
    found = _differences(name, "input", inputs, wanted_inputs)
    found += [
        f"{name}: there is another input, {key}" for key in inputs if key not in wanted_inputs
    ]
    return found + _differences(name, "output", signature.outputs, wanted_outputs)


def _gives_vectors(signature: SignatureSpec) -> bool:
    dense = {key: info for key, info in signature.outputs.items() if info.kind == "dense"}
    return "default" in dense or any("float" in info.dtype for info in dense.values())


def _differences(
    name: str, side: str, infos: Mapping[str, TensorInfo], wanted: _Wanted
) -> list[str]:
    found = []
    for key, (dtype, shape) in wanted.items():
        words = f"{dtype}[{', '.join(map(_dimension, enumerate(shape)))}]"
        if key not in infos:
            found.append(f"{name}: there is no {side} {key} ({words})")
        elif not _fits(infos[key], dtype, shape):
            found.append(f"{name}: the {side} {key} is {infos[key]}, not {words}")
    return found


def _fits(info: TensorInfo, dtype: str, shape: tuple[int | None, ...]) -> bool:
    if info.kind != "dense" or info.dtype != dtype or info.shape is None:
        return False
    return len(info.shape) == len(shape) and all(
        wanted is None or (actual is not None if wanted == _UNKNOWN else actual == wanted)
        for actual, wanted in zip(info.shape, shape, strict=True)
    )


def _dimension(place: tuple[int, int | None]) -> str:
    position, size = place
    if position == 0:
        return "batch"
    return {None: "?", _UNKNOWN: "dim"}.get(size, str(size))
