"""Features as a module takes them in training: the same that embedding feeds it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_helpers import example

from hub_tfx.data.arrow import batch_of
from hub_tfx.data.images import ImageDecoder
from hub_tfx.data.tf_example import to_example_columns
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.plan import make_plan
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import Features
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo

IMAGES = [
    tf.io.encode_png(pixels).numpy()
    for pixels in np.random.default_rng(0).integers(0, 256, [3, 9, 7, 3], np.uint8)
]
SCHEMA = pa.schema({"image": pa.binary(), "label": pa.int64()})


def spec_of(key: str, info: TensorInfo, image_size: tuple[int, int] | None = None) -> ModuleSpec:
    outputs = {"default": TensorInfo("float32", (None, 4))}
    variant = GraphVariant((), {"default": SignatureSpec({key: info}, outputs)})
    return ModuleSpec("tf1_hub", (variant,), image_size)


def features_of(info: TensorInfo, image_size: tuple[int, int] | None = None) -> Features:
    return Features.of(FineTuneConfig("label"), spec_of("images", info, image_size), SCHEMA)


# --- Images --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "attached", "size"),
    [
        (TensorInfo("float32", (None, 4, 5, 3)), None, (4, 5)),
        (TensorInfo("float32", (None, 4, 5, None)), None, (4, 5)),
        (TensorInfo("uint8", (None, 4, 5, 1)), None, (4, 5)),
        (TensorInfo("uint8", (None, 4, 5, 4)), None, (4, 5)),
        (TensorInfo("float32", (None, None, None, 3)), (6, 6), (6, 6)),
    ],
)
def test_images_are_trained_on_bit_for_bit_as_they_are_embedded(
    info: TensorInfo, attached: tuple[int, int] | None, size: tuple[int, int]
) -> None:
    features = features_of(info, attached)
    rows = tf.constant([example({"image": image}).SerializeToString() for image in IMAGES])
    fed = tf.function(features.parse)(rows)["images"]
    assert fed.dtype.name == info.dtype
    np.testing.assert_array_equal(fed, np.stack(ImageDecoder(info, size)(IMAGES)))


def test_images_of_any_size_are_refused_before_they_are_read() -> None:
    with pytest.raises(ConfigError, match=r"'images' .*of any size.*image_size \(--image-size"):
        features_of(TensorInfo("float32", (None, None, None, 3)))


# --- Values --------------------------------------------------------------------------------------


def both(info: TensorInfo, column: pa.Array) -> tuple[Any, list[Any]]:
    """What training makes of a batch, and what embedding makes of each of its rows."""
    config, spec = FineTuneConfig("label"), spec_of("x", info)
    schema = pa.schema({"x": column.type, "label": pa.int64()})
    features = Features.of(config, spec, schema)
    batch = batch_of({"x": column, "label": pa.array([0] * len(column), pa.int64())})
    assert features.fed.check(batch) == {}
    columns = batch_of(features.columns(batch))
    rows = tf.constant(RecordBatchToExamplesEncoder().encode(to_example_columns(columns)))
    eager, traced = features.parse(rows)["x"], tf.function(features.parse)(rows)["x"]
    tf.nest.map_structure(np.testing.assert_array_equal, _parts(eager), _parts(traced))
    plan = make_plan(config.feeding, spec, ["x"])
    embedding = Input.of_field("x", plan, config.feeding, features.schema.field("x"))
    return eager, [embedding.to_tensor(column[n : n + 1]) for n in range(len(column))]


def _parts(tensor: Any) -> Any:
    if isinstance(tensor, tf.SparseTensor | tf.RaggedTensor):
        return [part.numpy() for part in tf.nest.flatten(tensor, expand_composites=True)]
    return [tensor.numpy()]


NUMBERS = st.integers(0, 1)
TYPES = {
    "bool": pa.bool_(),
    "int32": pa.int64(),
    "int64": pa.int32(),
    "uint8": pa.int64(),
    "float32": pa.float64(),
    "float64": pa.float32(),
    "bfloat16": pa.float32(),
    "string": pa.string(),
}


Kind = tuple[TensorInfo, int, bool]
"""What an input takes, how many values a row has, and whether it may have a multiple of them."""


def _name(value: Any) -> str | None:
    return str(value[0]) if isinstance(value, tuple) else None


def kinds(*given_kinds: Kind) -> Any:
    return pytest.mark.parametrize("kind", given_kinds, ids=_name)


@st.composite
def columns_for(draw: Any, kind: Kind) -> pa.Array:
    info, size, is_open = kind
    count = draw(st.integers(1, 4))
    value = st.text(max_size=2) if info.dtype == "string" else NUMBERS
    least = 0 if info.kind != "dense" else 1

    def row() -> Any:
        length = size * draw(st.integers(least, 3)) if is_open else size
        return draw(st.lists(value, min_size=length, max_size=length))

    rows = [row() for _ in range(count)]
    if info.kind == "sparse" and info.shape is not None and info.shape[1]:
        rows = [of_row[: info.shape[1]] for of_row in rows]
    if info.dtype == "bool":
        rows = [[bool(v) for v in of_row] for of_row in rows]
    is_plain = size == 1 and not is_open and draw(st.booleans())
    given = TYPES[info.dtype]
    if is_plain:
        return pa.array([of_row[0] for of_row in rows], given)
    return pa.array(rows, pa.list_(given))


DENSE = [
    *((TensorInfo(dtype, (None,)), 1, False) for dtype in TYPES if dtype != "bfloat16"),
    *((TensorInfo(dtype, (None, 3)), 3, False) for dtype in TYPES if dtype != "bfloat16"),
    (TensorInfo("float32", (None, 2, 2)), 4, False),
    (TensorInfo("float32", (None, 1)), 1, False),
    (TensorInfo("string", None), 1, False),
]
OPEN = [
    (TensorInfo("int32", (None, None)), 1, True),
    (TensorInfo("string", (None, None)), 1, True),
    (TensorInfo("float32", (None, None, 2)), 2, True),
    (TensorInfo("float32", (None, 2, None)), 2, True),
    (TensorInfo("bool", (None, 2, None, 2)), 4, True),
    (TensorInfo("float32", None), 1, True),
]
RAGGED = [
    (TensorInfo("int64", (None, None), "ragged"), 1, True),
    (TensorInfo("string", (None, None), "ragged"), 1, True),
    (TensorInfo("float32", (None, None, 2), "ragged"), 2, True),
]
SPARSE = [
    (TensorInfo("int64", (None, None), "sparse"), 1, True),
    (TensorInfo("float32", (None, 2), "sparse"), 1, True),
    (TensorInfo("string", (None, 3), "sparse"), 1, True),
]


@kinds(*DENSE)
@settings(deadline=None, max_examples=4)
@given(st.data())
def test_rows_of_one_shape_are_those_of_embedding(kind: Kind, data: Any) -> None:
    trained, embedded = both(kind[0], data.draw(columns_for(kind)))
    assert trained.dtype == embedded[0].dtype
    np.testing.assert_array_equal(trained, tf.concat(embedded, axis=0))


@kinds(*OPEN)
@settings(deadline=None, max_examples=4)
@given(st.data())
def test_open_dimensions_are_padded_to_the_longest_row(kind: Kind, data: Any) -> None:
    """With zeros, or empty texts, behind what embedding feeds for the row alone."""
    trained, embedded = both(kind[0], data.draw(columns_for(kind)))
    assert trained.dtype == embedded[0].dtype
    assert trained.shape[1:] == np.max([row.shape[1:] for row in embedded], axis=0).tolist()
    for padded, row in zip(trained, embedded, strict=True):
        missing = [[0, int(n) - m] for n, m in zip(padded.shape, row.shape[1:], strict=True)]
        filling = "" if row.dtype == tf.string else tf.zeros([], row.dtype)
        np.testing.assert_array_equal(padded, tf.pad(row[0], missing, constant_values=filling))


@kinds(*RAGGED)
@settings(deadline=None, max_examples=4)
@given(st.data())
def test_ragged_rows_are_those_of_embedding(kind: Kind, data: Any) -> None:
    trained, embedded = both(kind[0], data.draw(columns_for(kind)))
    assert trained.dtype == embedded[0].dtype
    assert trained.shape[trained.ragged_rank + 1 :] == embedded[0].shape[2:]
    assert trained.to_list() == [row.to_list()[0] for row in embedded]


@kinds(*SPARSE)
@settings(deadline=None, max_examples=4)
@given(st.data())
def test_sparse_rows_are_those_of_embedding(kind: Kind, data: Any) -> None:
    trained, embedded = both(kind[0], data.draw(columns_for(kind)))
    together = tf.sparse.concat(0, embedded, expand_nonconcat_dims=True)
    for part, of_embedding in zip(_parts(trained), _parts(together), strict=True):
        np.testing.assert_array_equal(part, of_embedding)
    assert trained.dtype == embedded[0].dtype


@pytest.mark.parametrize(
    ("info", "rows"),
    [
        (TensorInfo("float32", (None, 2, 2)), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        (TensorInfo("float32", (None, None, 2)), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
        (TensorInfo("float32", (None, None, 2), "ragged"), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]),
    ],
)
def test_nested_lists_feed_what_flat_ones_do(info: TensorInfo, rows: Any) -> None:
    trained, embedded = both(info, pa.array(rows, pa.list_(pa.list_(pa.float32()))))
    for part, row in zip(trained, embedded, strict=True):
        np.testing.assert_array_equal(part, row[0])


def test_several_open_dimensions_are_refused_before_a_row_is_read() -> None:
    info = TensorInfo("float32", (None, None, None))
    schema = pa.schema({"x": pa.list_(pa.list_(pa.float32())), "label": pa.int64()})
    with pytest.raises(ConfigError, match="leaves several dimensions of a row open"):
        Features.of(FineTuneConfig("label"), spec_of("x", info), schema)
