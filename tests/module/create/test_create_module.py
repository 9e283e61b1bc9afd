"""Modules in TF1 hub format from a user's own graph."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError, InputError, OutputError
from hub_tfx.module.create import module
from hub_tfx.module.load import load

v1 = tf.compat.v1


def scale(**_: Any) -> None:
    """y = x · w, with w = 3."""
    x = v1.placeholder(tf.float32, [None])
    w = v1.get_variable("w", [], initializer=v1.constant_initializer(3.0))
    hub.add_signature(inputs=x, outputs=x * w)


def run(path: Path, x: list) -> list:
    return load(path)({"default": x})["default"].numpy().tolist()


def checkpoint(directory: Path, **values: float) -> str:
    """A TF1 checkpoint."""
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable(name, initializer=value) for name, value in values.items()]
        session.run(v1.global_variables_initializer())
        return v1.train.Saver(variables).save(session, str(directory / "model.ckpt"))


def test_variables_come_from_their_initializers(tmp_path: Path):
    made = module(scale, None, tmp_path / "1")
    assert made.spec.tags == ((),)
    assert run(made.path, [1.0, 2.0]) == [3.0, 6.0]


def test_variables_come_from_a_checkpoint(tmp_path: Path):
    prefix = checkpoint(tmp_path, w=5.0, unused=1.0)
    assert run(module(scale, None, tmp_path / "1", prefix).path, [1.0]) == [5.0]
    assert run(module(scale, None, tmp_path / "2", checkpoint=tmp_path).path, [1.0]) == [5.0]


def test_each_variant_is_built_in_a_graph_of_its_own_and_the_callers_is_left_alone(tmp_path: Path):
    seen = []

    def module_fn(training: bool) -> None:
        seen.append((v1.get_default_graph(), training))
        scale()

    with tf.Graph().as_default() as graph:
        variants = [({"train"}, {"training": True}), (set(), {"training": False})]
        made = module(module_fn, variants, tmp_path / "1")
        assert not graph.get_operations()
    assert made.spec.tags == ((), ("train",))
    assert [training for _, training in seen] == [True, False]
    assert len({id(g) for g, _ in seen} | {id(graph)}) == 3


def test_variables_of_the_train_variant_alone_are_kept_too(tmp_path: Path):
    def module_fn(training: bool) -> None:
        scale()
        if training:
            v1.get_variable("extra", [], initializer=v1.constant_initializer(7.0))

    path = module(
        module_fn, [(set(), {"training": False}), ({"train"}, {"training": True})], tmp_path / "1"
    ).path
    with tf.Graph().as_default():
        extra = hub.Module(str(path), tags={"train"}).variable_map["extra"]
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            assert session.run(extra) == 7.0


def test_variants_of_which_none_has_all_variables_are_refused(tmp_path: Path):
    def module_fn(name: str) -> None:
        scale()
        v1.get_variable(name, [])

    with pytest.raises(AuthoringError, match="one variant must define them all"):
        module(module_fn, [(set(), {"name": "a"}), ({"train"}, {"name": "b"})], tmp_path / "1")


def test_assets_are_copied_in(tmp_path: Path):
    (tmp_path / "words.txt").write_text("cat\ndog\n")

    def module_fn() -> None:
        index = tf.lookup.TextFileIndex
        initializer = tf.lookup.TextFileInitializer(
            str(tmp_path / "words.txt"),
            *(tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER),
        )
        words = v1.placeholder(tf.string, [None])
        hub.add_signature(inputs=words, outputs=tf.lookup.StaticHashTable(initializer, -1)[words])

    path = module(module_fn, None, tmp_path / "1").path
    (tmp_path / "words.txt").unlink()
    assert (path / "assets" / "words.txt").read_text() == "cat\ndog\n"
    assert run(path, ["dog", "cow"]) == [1, -1]


def test_collections_are_dropped_where_hub_does_not_know_them(tmp_path: Path):
    def module_fn() -> None:
        scale()
        v1.add_to_collection("mine", tf.constant(1))

    with pytest.raises(AuthoringError, match="mine"):
        module(module_fn, None, tmp_path / "1")
    assert run(module(module_fn, None, tmp_path / "1", None, ["mine"]).path, [1.0]) == [3.0]


def test_a_graph_without_variables_makes_a_module(tmp_path: Path):
    def module_fn() -> None:
        x = v1.placeholder(tf.float32, [None])
        hub.add_signature(inputs=x, outputs=-x)

    assert run(module(module_fn, None, tmp_path / "1").path, [1.0]) == [-1.0]


# --- What is refused ------------------------------------------------------------------------------


def no_signature() -> None:
    tf.constant(1)


def broken() -> None:
    raise KeyError("weights")


def fails_to_initialize() -> None:
    x = v1.placeholder(tf.float32, [None])
    w = v1.get_variable("w", initializer=tf.debugging.check_numerics(np.float32("nan"), "bad w"))
    hub.add_signature(inputs=x, outputs=x * w)


@pytest.mark.parametrize(
    ("module_fn", "message"),
    [
        (no_signature, "no_signature does not build a valid module: ValueError: No signatures"),
        (broken, "broken does not build a valid module: KeyError: 'weights'"),
        (fails_to_initialize, r"(?s)variables cannot be initialized: .*bad w"),
    ],
)
def test_a_function_that_builds_no_module_is_named(module_fn: Any, message: str, tmp_path: Path):
    with pytest.raises(AuthoringError, match=message):
        module(module_fn, None, tmp_path / "1")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_does_not_fit_is_refused_with_what_it_holds(tmp_path: Path):
    prefix = checkpoint(tmp_path, other=1.0)
    with pytest.raises(AuthoringError, match=r"does not fit the module.*It holds: other"):
        module(scale, None, tmp_path / "1", checkpoint=prefix)
    assert not (tmp_path / "1").exists()


def test_a_missing_checkpoint_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="not a readable checkpoint"):
        module(scale, None, tmp_path / "1", checkpoint=tmp_path / "model.ckpt")
    with pytest.raises(InputError, match="does not hold a checkpoint"):
        module(scale, None, tmp_path / "1", checkpoint=tmp_path)


def test_the_path_must_be_free(tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for name in ("file", "link"):
        with pytest.raises(OutputError, match="is not a directory"):
            module(scale, None, tmp_path / name)
    assert run(module(scale, None, tmp_path / "empty").path, [1.0]) == [3.0]
    assert run(module(scale, None, tmp_path / "deep" / "er" / "1").path, [1.0]) == [3.0]


def test_a_path_that_is_taken_meanwhile_is_not_replaced(tmp_path: Path):
    def slow() -> None:
        scale()
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "theirs").write_text("theirs")

    with pytest.raises(OutputError, match="cannot be written"):
        module(slow, None, tmp_path / "1")
    assert [p.name for p in tmp_path.rglob("*")] == ["1", "theirs"]
