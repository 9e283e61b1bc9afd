"""Every shape in which ``__call__`` and signatures come: known by keys, and called."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import load

X, Y = tf.TensorSpec([None, 3], tf.float32, "x"), tf.TensorSpec([None, 2], tf.float32, "y")
ONE_X, ONE_Y = [[1.0, 2.0, 3.0]], [[4.0, 5.0]]
Pair = collections.namedtuple("Pair", "left right")


class TypedPair(NamedTuple):
    left: Any
    right: Any


class Both(tf.experimental.ExtensionType):
    __name__ = "hub_tfx_tests.Both"
    left: tf.Tensor
    right: tf.Tensor


def save(path: Path, function: Callable[..., Any], *traces: Any) -> str:
    """Exports a module whose ``__call__`` has these traces: a tuple of arguments, or a dict."""
    module = tf.Module()
    module.__call__ = tf.function(function)
    for trace in traces:
        given = ((), trace) if isinstance(trace, dict) else (trace, {})
        module.__call__.get_concrete_function(*given[0], **given[1])
    tf.saved_model.save(module, str(path))
    return str(path)


def joined(*tensors: Any) -> Any:
    return tf.concat(tensors, axis=1)


ARGUMENTS: dict[str, tuple[Callable[..., Any], Any, tuple[str, str]]] = {
    "several": (joined, (X, Y), ("tensors_0", "tensors_1")),
    "by name": (lambda a, b: joined(a, b), (X, Y), ("a", "b")),
    "by place only": (lambda x, y, /: joined(x, y), (X, Y), ("x", "y")),
    "by keyword only": (lambda *, x, y: joined(x, y), {"x": X, "y": Y}, ("x", "y")),
    "any keywords": (lambda **given: joined(given["x"], given["y"]), {"x": X, "y": Y}, ("x", "y")),
    "one and any": (lambda x, *more: joined(x, *more), (X, Y), ("x", "more_0")),
    "a list": (lambda both: joined(*both), ([X, Y],), ("both_0", "both_1")),
    "a tuple": (lambda both: joined(*both), ((X, Y),), ("both_0", "both_1")),
    "a dict": (lambda both: joined(both["p"], both["q"]), ({"p": X, "q": Y},), ("p", "q")),
    "a named tuple": (lambda b: joined(b.left, b.right), (Pair(X, Y),), ("left", "right")),
    "a typed one": (lambda b: joined(b.left, b.right), (TypedPair(X, Y),), ("left", "right")),
    "an extension type": (lambda b: joined(b.left, b.right), (Both.Spec(X, Y),), ("left", "right")),
    "a nest": (
        lambda nest: joined(nest["p"].left, nest["q"][0]["r"]),
        ({"p": Pair(X, X), "q": [{"r": Y}]},),
        ("p/left", "q_0/r"),
    ),
    "two dicts": (lambda p, q: joined(p["x"], q["x"]), ({"x": X}, {"x": Y}), ("p/x", "q/x")),
    "one key twice": (lambda x, more: joined(x, more["x"]), (X, {"x": Y}), ("x", "more/x")),
}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_arguments_of_every_kind_have_keys_and_are_fed(tmp_path: Path, kind: str) -> None:
    function, trace, (first, second) = ARGUMENTS[kind]
    path = save(tmp_path / "m", function, trace)
    inputs = inspect(path).signature().inputs
    assert {str(inputs[first]), str(inputs[second])} == {"float32[?, 3]", "float32[?, 2]"}
    given = dict.fromkeys(inputs, ONE_X) | {first: ONE_X, second: ONE_Y}
    assert load(path)(given)["default"].numpy().tolist() == [[1, 2, 3, 4, 5]]


RESULTS: dict[str, tuple[Callable[[Any], Any], dict[str, int]]] = {
    "a tensor": (lambda x: x, {"default": 1}),
    "a list": (lambda x: [x, 2 * x], {"output_0": 1, "output_1": 2}),
    "a tuple": (lambda x: (x, 2 * x), {"output_0": 1, "output_1": 2}),
    "a dict": (lambda x: {"b": x, "a": 2 * x}, {"b": 1, "a": 2}),
    "a named tuple": (lambda x: Pair(x, 2 * x), {"left": 1, "right": 2}),
    "a typed one": (lambda x: TypedPair(x, 2 * x), {"left": 1, "right": 2}),
    "an extension type": (lambda x: Both(x, 2 * x), {"left": 1, "right": 2}),
    "a nest": (
        lambda x: {"p": Pair(x, [2 * x]), "q": [{"r": 3 * x}]},
        {"p/left": 1, "p/right_0": 2, "q_0/r": 3},
    ),
    "with constants": (lambda x: {"a": x, "none": None}, {"a": 1}),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_results_of_every_kind_have_the_keys_that_inspect_says(tmp_path: Path, kind: str) -> None:
    function, factors = RESULTS[kind]
    path = save(tmp_path / "m", function, (X,))
    assert inspect(path).signature().outputs.keys() == factors.keys()
    outputs = load(path)({"x": ONE_X})
    for key, factor in factors.items():
        np.testing.assert_array_equal(outputs[key], np.multiply(ONE_X, factor))


def scaled(x: Any, scale: float = 1.0) -> Any:
    return x * scale


def by_keyword(x: Any, *, scale: float = 1.0) -> Any:
    return x * scale


def trained(x: Any, training: bool) -> Any:
    return -x if training else x


def trained_too(x: Any, is_training: bool) -> Any:
    return -x if is_training else x


TEXT, TEXTS = tf.TensorSpec([], tf.string), tf.TensorSpec([None], tf.string)
TRACES: dict[str, tuple[Callable[..., Any], list[Any], str]] = {
    "the default of an argument": (scaled, [(X, 3.0), (X, 1.0), (X, 2.0)], "float32[?, 3]"),
    "that of a keyword": (
        by_keyword,
        [{"x": X, "scale": 3.0}, {"x": X, "scale": 1.0}],
        "float32[?, 3]",
    ),
    "no training": (trained, [(X, True), (X, False)], "float32[?, 3]"),
    "no is_training": (trained_too, [(X, True), (X, False)], "float32[?, 3]"),
    "no optional tensor": (
        lambda x, mask=None: x if mask is None else x * mask,
        [(X, X), (X,)],
        "float32[?, 3]",
    ),
    "batches of any size": (
        lambda x: x,
        [(tf.TensorSpec([1, 3], tf.float32),), (X,)],
        "float32[?, 3]",
    ),
    "the first dtype": (
        lambda x: tf.cast(x, tf.float32),
        [(X,), (tf.TensorSpec([None, 3], tf.uint8),)],
        "float32[?, 3]",
    ),
}


@pytest.mark.parametrize("kind", TRACES)
def test_of_several_traces_the_plainest_is_called(tmp_path: Path, kind: str) -> None:
    function, traces, expected = TRACES[kind]
    path = save(tmp_path / "m", function, *traces)
    assert {key: str(info) for key, info in inspect(path).signature().fed_inputs.items()} == {
        "x": expected
    }
    assert load(path)({"x": ONE_X})["default"].numpy().tolist() == ONE_X


def test_a_trace_for_a_batch_comes_before_one_for_a_single_row(tmp_path: Path) -> None:
    path = save(tmp_path / "m", tf.strings.length, (TEXT,), (TEXTS,))
    assert [str(info) for info in inspect(path).signature().inputs.values()] == ["string[?]"]


def test_a_call_that_was_never_traced_leaves_the_signatures(tmp_path: Path) -> None:
    module = tf.Module()
    module.__call__ = tf.function(lambda x: x)
    signature = tf.function(lambda x: {"y": 2 * x}, input_signature=[X])
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})
    assert inspect(tmp_path).get_signature_names() == ["serving_default"]
    assert load(tmp_path)({"x": ONE_X})["y"].numpy().tolist() == np.multiply(ONE_X, 2).tolist()


# --- Signatures whose inputs are made of parts ---------------------------------------------------


RAGGED = tf.RaggedTensorSpec([None, None], tf.float32)
DEEP = tf.RaggedTensorSpec([None, None, None, 2], tf.float32, 2, tf.int32)
SPARSE = tf.SparseTensorSpec([None, 5], tf.float32)


def widths(words: Any, ids: Any, weights: Any, more: Any) -> dict[str, Any]:
    length = tf.cast(tf.strings.length(words), tf.float32)
    more = tf.reduce_sum(more["deep"], axis=[1, 2, 3])
    total = tf.reduce_sum(length, 1) + tf.sparse.reduce_sum(ids, 1) + weights[:, 0] + more
    return {"total": total[:, None]}


SPECS = [
    tf.RaggedTensorSpec([None, None], tf.string),
    SPARSE,
    tf.TensorSpec([None, 1], tf.float32, "weights"),
    {"deep": DEEP},
]


@pytest.mark.parametrize("is_tracked", [True, False], ids=["tracked", "untracked"])
def test_ragged_and_sparse_inputs_of_a_tf2_signature_are_whole(
    tmp_path: Path, is_tracked: bool
) -> None:
    module = tf.Module()
    function = tf.function(widths, input_signature=SPECS)
    if is_tracked:
        module.function = function
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": function})
    inputs = inspect(tmp_path).signature().inputs
    kinds = {key: (info.kind, info.ragged_rank) for key, info in inputs.items()}
    assert kinds == {
        "words": ("ragged", 1),
        "ids": ("sparse", 1),
        "weights": ("dense", 1),
        "more": ("ragged", 2),
    }
    assert inputs["more"].row_splits == "int32"
    given = {
        "words": tf.ragged.constant([["a", "bc"], []]),
        "ids": tf.sparse.from_dense([[0.0, 10.0, 0.0, 0.0, 0.0], [0.0, 0.0, 20.0, 0.0, 0.0]]),
        "weights": [[100.0], [200.0]],
        "more": tf.ragged.constant(
            [[[[1000.0, 0.0], [500.0, 500.0]]], []], ragged_rank=2, inner_shape=(2,)
        ),
    }
    assert load(tmp_path)(given)["total"].numpy().tolist() == [[2113.0], [220.0]]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"y": x.row_lengths()},
        lambda x: {"y": tf.reduce_sum(x, axis=1)},
        lambda x: {"y": x.to_tensor()},
        tf.function(lambda x: {"y": tf.function(lambda y: y.row_lengths())(x)}),
    ],
    ids=["lengths", "sums", "dense", "in a function"],
)
def test_a_ragged_tensor_is_known_by_what_its_row_splits_are_used_for(
    tmp_path: Path, function: Any
) -> None:
    function = tf.function(function, input_signature=[RAGGED])
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": function})
    assert [str(i) for i in inspect(tmp_path).signature().inputs.values()] == [
        "float32[?, ?] ragged"
    ]


def test_a_dict_of_vectors_is_not_taken_for_a_ragged_tensor(tmp_path: Path) -> None:
    def function(features: Any) -> Any:
        return {"y": tf.stack([features["a"], tf.cast(features["b"], tf.float32)], axis=1)}

    specs = {"a": tf.TensorSpec([None], tf.float32), "b": tf.TensorSpec([None], tf.int64)}
    function = tf.function(function, input_signature=[specs])
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"serving_default": function})
    assert [str(i) for i in inspect(tmp_path).signature().inputs.values()] == [
        "float32[?]",
        "int64[?]",
    ]


@pytest.mark.parametrize("is_ragged", [True, False])
def test_keras_models_with_ragged_and_sparse_inputs(tmp_path: Path, is_ragged: bool) -> None:
    layers = tf.keras.layers
    kind = {"ragged": True, "shape": [None]} if is_ragged else {"sparse": True, "shape": [5]}
    given = tf.keras.Input(dtype=tf.float32, **kind)
    summed = tf.reduce_sum(given, axis=1, keepdims=True) if is_ragged else layers.Dense(1)(given)
    tf.keras.Model(given, summed).save(tmp_path / "m", save_format="tf")
    spec = inspect(tmp_path / "m")
    for name in ("__call__", "serving_default"):
        [(key, info)] = spec.signature(name).inputs.items()
        assert info.kind == ("ragged" if is_ragged else "sparse")
        rows = tf.ragged.constant([[1.0, 2.0], [3.0]])
        fed = rows if is_ragged else tf.SparseTensor([[0, 1], [1, 4]], [1.0, 2.0], [2, 5])
        (found,) = load(tmp_path / "m", name)({key: fed}).values()
        assert found.shape == (2, 1)
        if is_ragged:
            assert found.numpy().tolist() == [[3.0], [3.0]]


# --- Several graphs ------------------------------------------------------------------------------


def graphs(path: Path, *tags: list[str]) -> Path:
    """A SavedModel of TF1 with a graph for each tag set, which multiplies by its number from 1."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    for number, tag_set in enumerate(tags, start=1):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None, 3])
            weight = v1.get_variable("weight", initializer=1.0)
            session.run(v1.global_variables_initializer())
            signatures = {
                "serving_default": v1.saved_model.predict_signature_def(
                    {"x": x}, {"y": x * weight * number}
                )
            }
            if number == 1:
                builder.add_meta_graph_and_variables(session, tag_set, signatures)
            else:
                builder.add_meta_graph(tag_set, signatures)
    builder.save()
    return path


def test_the_graph_that_is_tagged_serve_is_the_one_that_is_meant(tmp_path: Path) -> None:
    path = graphs(tmp_path / "m", ["eval"], ["train"], ["serve"], ["serve", "tpu"])
    assert inspect(path).tags == (("serve",), ("serve", "tpu"), ("eval",), ("train",))
    assert load(path)({"x": ONE_X})["y"].numpy().tolist() == np.multiply(ONE_X, 3).tolist()
    found = load(path, tags=["tpu", "serve"])({"x": ONE_X})["y"]
    assert found.numpy().tolist() == np.multiply(ONE_X, 4).tolist()


def test_without_one_it_is_that_which_is_not_for_training(tmp_path: Path) -> None:
    path = graphs(tmp_path / "m", ["a", "train"], ["b"])
    assert load(path)({"x": ONE_X})["y"].numpy().tolist() == np.multiply(ONE_X, 2).tolist()
