"""ModuleSpec: what a module takes and gives, known without running it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from hub_tfx.errors import SignatureError

ModuleFormat = Literal["tf1_hub", "saved_model"]
TensorKind = Literal["dense", "sparse", "ragged"]

_IMAGE_CHANNELS = (None, 1, 3, 4)
_IMAGE_FLOATS = ("float32", "float16", "bfloat16", "float64")
_IMAGE_INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int16", "int32", "int64")
TRAINING_FLAGS = ("training", "is_training", "train", "keras_learning_phase")
"""Names of inputs and arguments that say whether this is training."""
CALL = "__call__"
"""Name under which a reusable SavedModel's callable object is listed among the signatures."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a signature.

    Attributes:
      dtype: TensorFlow's name of it, such as ``float32`` or ``string``.
      shape: a number or None (unknown) for each dimension; None where even the rank is unknown.
      kind: ``dense``, ``sparse`` or ``ragged``.
      ragged_rank: of a ragged one: how many dimensions may differ in length.
      row_splits: of a ragged one: dtype of its row splits, ``int32`` or ``int64``.
    """

    dtype: str
    shape: tuple[int | None, ...] | None
    kind: TensorKind = "dense"
    ragged_rank: int = 1
    row_splits: str = "int64"

    def get_shape(self) -> tuple[int | None, ...] | None:
        return self.shape

    @property
    def is_sparse(self) -> bool:
        return self.kind == "sparse"

    @property
    def is_image(self) -> bool:
        """Whether an input can take images: ``[batch, height, width, channels]`` of floats in
        [0, 1], as TF Hub's common signature wants them, or of integers that can hold 255."""
        return (
            self.dtype in _IMAGE_FLOATS + _IMAGE_INTEGERS
            and self.kind == "dense"
            and self.shape is not None
            and len(self.shape) == 4
            and self.shape[3] in _IMAGE_CHANNELS
        )

    def with_batch(self) -> "TensorInfo":
        """Several such tensors as one, along a new first dimension."""
        shape = None if self.shape is None else (None, *self.shape)
        rank = self.ragged_rank + 1 if self.kind == "ragged" else self.ragged_rank
        return replace(self, shape=shape, ragged_rank=rank)

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "dtype": self.dtype,
            "shape": None if self.shape is None else list(self.shape),
        }
        if self.kind != "dense":
            document["kind"] = self.kind
        if self.kind == "ragged":
            document |= {"ragged_rank": self.ragged_rank, "row_splits": self.row_splits}
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "TensorInfo":
        shape = document["shape"]
        return cls(**{**document, "shape": None if shape is None else tuple(shape)})

    def __str__(self) -> str:
        if self.shape is None:
            dimensions = "?"
        else:
            dimensions = ", ".join("?" if d is None else str(d) for d in self.shape)
        kind = "" if self.kind == "dense" else f" {self.kind}"
        return f"{self.dtype}[{dimensions}]{kind}"


@dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs by key."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]

    @property
    def fed_inputs(self) -> Mapping[str, TensorInfo]:
        """The inputs without those that say whether this is training."""
        return {key: info for key, info in self.inputs.items() if not is_training_flag(key, info)}

    def with_batch(self) -> "SignatureSpec":
        """As if it took and gave several rows at a time; what switches training stays as it is."""
        fed = {key: info.with_batch() for key, info in self.fed_inputs.items()}
        outputs = {key: info.with_batch() for key, info in self.outputs.items()}
        return SignatureSpec({**self.inputs, **fed}, outputs)

    def to_dict(self) -> dict[str, Any]:
        return {
            "inputs": {key: info.to_dict() for key, info in self.inputs.items()},
            "outputs": {key: info.to_dict() for key, info in self.outputs.items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "SignatureSpec":
        return cls(
            **{
                side: {key: TensorInfo.from_dict(info) for key, info in infos.items()}
                for side, infos in document.items()
            }
        )


@dataclass(frozen=True)
class GraphVariant:
    """One MetaGraph of a module: its tags (sorted) and its signatures by name."""

    tags: tuple[str, ...]
    signatures: Mapping[str, SignatureSpec]


@dataclass(frozen=True)
class ModuleSpec:
    """The format, graph variants and signatures of a module.

    ``ModuleSpec.from_json(spec.to_json()) == spec``. The four ``get_…`` methods answer what those
    of ``hub.ModuleSpec`` answer, with dtypes as names and shapes as tuples.

    Attributes:
      format: ``tf1_hub`` or ``saved_model``.
      variants: the graph variants; the one for inference first.
      image_size: height and width that its author attached as ``image_module_info``, which only the
        TF1 hub format has.
    """

    format: ModuleFormat
    variants: tuple[GraphVariant, ...]
    image_size: tuple[int, int] | None = None

    @property
    def tags(self) -> tuple[tuple[str, ...], ...]:
        return tuple(variant.tags for variant in self.variants)

    @property
    def signatures(self) -> Mapping[str, SignatureSpec]:
        """Signatures of the variant for inference."""
        return self.variants[0].signatures

    @property
    def default_signature(self) -> str:
        """The signature that is meant when none is named.

        ``__call__`` for a SavedModel that has it, ``default`` for the TF1 hub format; otherwise
        ``serving_default``, or the only one there is.

        Raises:
          SignatureError: several signatures, and none of these.
        """
        for name in (CALL, "default", "serving_default"):
            if name in self.signatures:
                return name
        if len(self.signatures) == 1:
            return next(iter(self.signatures))
        raise SignatureError(f"name a signature: the module has {_listed(self.signatures)}")

    @property
    def embedding_dim(self) -> int | None:
        """Dimension of the default signature's only output; None where the graph does not tell."""
        try:
            outputs = list(self.signature().outputs.values())
        except SignatureError:  # There are several signatures, and none is the default.
            return None
        if len(outputs) != 1 or outputs[0].shape is None or len(outputs[0].shape) != 2:
            return None
        return outputs[0].shape[1]

    def get_tags(self) -> list[set[str]]:
        return [set(tags) for tags in self.tags]

    def get_signature_names(self, tags: Iterable[str] | None = None) -> list[str]:
        return sorted(self._variant(tags).signatures)

    def get_input_info_dict(
        self, signature: str | None = None, tags: Iterable[str] | None = None
    ) -> dict[str, TensorInfo]:
        return dict(self.signature(signature, tags).inputs)

    def get_output_info_dict(
        self, signature: str | None = None, tags: Iterable[str] | None = None
    ) -> dict[str, TensorInfo]:
        return dict(self.signature(signature, tags).outputs)

    def signature(
        self, name: str | None = None, tags: Iterable[str] | None = None
    ) -> SignatureSpec:
        """One signature; the default one of the variant for inference where nothing is named.

        Raises:
          SignatureError: there is no such tag set or signature; the message lists those there are.
        """
        signatures = self._variant(tags).signatures
        name = name or self.default_signature
        if name not in signatures:
            raise SignatureError(
                f"the module has no signature {name!r}; it has {_listed(signatures)}"
            )
        return signatures[name]

    def tagged(self, tags: Iterable[str] | None) -> "ModuleSpec":
        """The spec with this variant in the place of the one for inference; itself for no tags.

        Raises:
          SignatureError: there is no such tag set; the message lists those there are.
        """
        if not tags:
            return self
        chosen = self._variant(tags)
        others = tuple(variant for variant in self.variants if variant is not chosen)
        return replace(self, variants=(chosen, *others))

    def _variant(self, tags: Iterable[str] | None) -> GraphVariant:
        if tags is None:
            return self.variants[0]
        wanted = tuple(sorted(set(tags)))
        for variant in self.variants:
            if variant.tags == wanted:
                return variant
        has = ", ".join("{" + ", ".join(t) + "}" for t in self.tags)
        raise SignatureError(f"the module has no tag set {{{', '.join(wanted)}}}; it has {has}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "tags": [list(tags) for tags in self.tags],
            "signatures": _signatures_to_dict(self.signatures),
            "variants": [
                {"tags": list(v.tags), "signatures": _signatures_to_dict(v.signatures)}
                for v in self.variants
            ],
            "image_size": list(self.image_size) if self.image_size else None,
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "ModuleSpec":
        document = json.loads(text)
        if set(document) != {"format", "tags", "signatures", "variants", "image_size"}:
            raise ValueError(f"not a module spec: keys {sorted(document)}")
        size = document["image_size"]
        return cls(
            document["format"],
            tuple(
                GraphVariant(
                    tuple(variant["tags"]),
                    {
                        name: SignatureSpec.from_dict(signature)
                        for name, signature in variant["signatures"].items()
                    },
                )
                for variant in document["variants"]
            ),
            size and (size[0], size[1]),
        )


def is_training_flag(key: str, info: TensorInfo) -> bool:
    """Whether an input is no data, but a bool that switches training behaviour on."""
    name = key.rpartition("/")[2]
    return info.dtype == "bool" and info.shape == () and name in TRAINING_FLAGS


def fed_by(encoder: SignatureSpec, preprocessor: SignatureSpec) -> dict[str, str]:
    """Which output of a preprocessor feeds which input of an encoder: that of the same key.

    The only output feeds the only input, whatever their keys. Outputs that feed nothing are left.

    Raises:
      SignatureError: an input gets nothing, or what it cannot take.
    """
    inputs, outputs = encoder.fed_inputs, preprocessor.outputs
    pairs = {key: key for key in inputs}
    if len(inputs) == len(outputs) == 1:
        pairs = dict(zip(inputs, outputs, strict=True))
    for key, output in pairs.items():
        if output not in outputs or not _is_taken(outputs[output], inputs[key]):
            gives = ", ".join(f"{k} ({info})" for k, info in sorted(outputs.items()))
            raise SignatureError(
                f"the preprocessor cannot feed input {key!r} ({inputs[key]}): it gives {gives}"
            )
    return pairs


def _is_taken(given: TensorInfo, wanted: TensorInfo) -> bool:
    if (given.dtype, given.kind) != (wanted.dtype, wanted.kind):
        return False
    if given.shape is None or wanted.shape is None:
        return True
    return len(given.shape) == len(wanted.shape) and all(
        a is None or b is None or a == b for a, b in zip(given.shape, wanted.shape, strict=True)
    )


def _signatures_to_dict(signatures: Mapping[str, SignatureSpec]) -> dict[str, Any]:
    return {name: signature.to_dict() for name, signature in signatures.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
