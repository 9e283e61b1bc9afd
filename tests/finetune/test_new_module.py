"""Training without a base: a function of the user's builds the module, a seed its first weights."""

import json
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.python.eager import context
from trust import trust_tuned

from hub_tfx import testing
from hub_tfx.errors import AuthoringError, ConfigError, OutputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.job import FineTuneResult, fine_tune_files
from hub_tfx.finetune.new_module import NewModule, check_format
from hub_tfx.module.create.export import eagerly
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat

pytestmark = pytest.mark.long


def graph_fn(is_training: bool) -> None:
    """A text module as hub.create_module_spec takes it."""
    text_graph(is_training, dropout=0.1)


def text_graph(is_training: bool, dropout: float) -> None:
    text = tf.compat.v1.placeholder(tf.string, [None])
    table = tf.compat.v1.get_variable("table", [64, 3])
    words = tf.compat.v1.string_split(text)
    ids = tf.strings.to_hash_bucket_fast(words.values, 64)
    ids = tf.SparseTensor(words.indices, ids, words.dense_shape)
    vectors = tf.nn.embedding_lookup_sparse(table, ids, None, combiner="mean")
    vectors.set_shape([None, 3])
    if is_training:
        vectors = tf.compat.v1.nn.dropout(vectors, rate=dropout)
    hub.add_signature(inputs={"text": text}, outputs=vectors)


def keras_fn() -> Any:
    return keras_model(dropout=0.1)


def keras_model(dropout: float) -> Any:
    layers = tf.keras.layers
    text = tf.keras.Input([], dtype=tf.string, name="text")
    ids = layers.TextVectorization(vocabulary=list(testing.WORDS))(text)
    vectors = layers.Embedding(10, 3, embeddings_regularizer="l2")(ids)
    return tf.keras.Model(text, layers.Dropout(dropout)(layers.GlobalAveragePooling1D()(vectors)))


def other_graph_fn(is_training: bool) -> None:
    """What graph_fn builds, with less dropout."""
    text_graph(is_training, dropout=0.05)


def other_keras() -> Any:
    return keras_model(dropout=0.05)


def unbuilt() -> Any:
    return tf.keras.Sequential([tf.keras.layers.Dense(3)])


def needs_more(size: int) -> None:
    raise AssertionError("nothing calls it")


FUNCTIONS = {"tf1_hub": f"{__name__}.graph_fn", "saved_model": f"{__name__}:keras_fn"}


def new_module(module_format: ModuleFormat) -> NewModule:
    return NewModule(FUNCTIONS[module_format], module_format)


def weights(module: ResolvedModule | str) -> Mapping[str, Any]:
    path = module.path if isinstance(module, ResolvedModule) else module
    reader = tf.train.load_checkpoint(f"{path}/variables/variables")
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if not name.startswith("_")}


# --- What it begins with -------------------------------------------------------------------------


def test_a_seed_gives_the_same_first_weights_and_another_one_others(
    module_format: ModuleFormat, tmp_path: Path
) -> None:
    new = new_module(module_format)
    one, again, other = (
        new.create(tmp_path / name, n) for name, n in (("a", 1), ("b", 1), ("c", 2))
    )
    for name, value in weights(one).items():
        assert np.array_equal(value, weights(again)[name])
        assert not np.array_equal(value, weights(other)[name])
        assert np.ptp(value) > 0


def test_what_is_random_after_it_does_not_depend_on_it(
    module_format: ModuleFormat, tmp_path: Path
) -> None:
    """A run that resumes does not make the module, and must shuffle as the one before it did."""

    def states() -> list[Any]:
        return [random.getstate(), np.random.get_state()[1].tolist(), context.global_seed()]

    before = states()
    new_module(module_format).create(tmp_path, seed=1)
    assert states() == before


def test_it_is_made_once_for_a_folder(module_format: ModuleFormat, tmp_path: Path) -> None:
    made = [new_module(module_format).create(tmp_path, seed=1) for _ in range(2)]
    assert made[0] == made[1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_that_was_cut_off_does_not_go_on_with_another_function(
    module_format: ModuleFormat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same name, and of a module with the same signatures."""

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    def tune() -> FineTuneResult:
        config = FineTuneConfig("pet", steps=2, batch_size=4)
        inputs, output = [str(tmp_path / "train.csv")], str(tmp_path / "out")
        return fine_tune_files(new_module(module_format), inputs, [], output, config)

    (tmp_path / "train.csv").write_text("text,pet\n" + "cat,1\nhello,0\n" * 8)
    with monkeypatch.context() as patch:
        patch.setattr("hub_tfx.finetune.job.deliver", cut_off)
        with pytest.raises(KeyboardInterrupt):
            tune()
    with monkeypatch.context() as patch:
        others = {"tf1_hub": ("graph_fn", other_graph_fn), "saved_model": ("keras_fn", other_keras)}
        patch.setattr(sys.modules[__name__], *others[module_format])
        with pytest.raises(OutputError, match="another training, whose code of module_fn differs"):
            tune()
    assert tune().steps == 2


def test_a_graph_function_with_is_training_builds_both_variants(tmp_path: Path) -> None:
    assert new_module("tf1_hub").create(tmp_path, 0).spec.tags == ((), ("train",))


@pytest.mark.parametrize(
    ("module_fn", "module_format", "error", "why"),
    [
        ("graph_fn", "tf1_hub", ConfigError, "expected PACKAGE.MODULE:FUNCTION"),
        ("no_such_package.f", "tf1_hub", ConfigError, "cannot be imported: ModuleNotFoundError"),
        (f"{__name__}.absent", "tf1_hub", ConfigError, "has no attribute 'absent'"),
        (f"{__name__}.FUNCTIONS", "tf1_hub", ConfigError, "it is not a function"),
        (f"{__name__}.needs_more", "tf1_hub", ConfigError, "the parameters size"),
        (
            f"{__name__}.keras_fn",
            "tf1_hub",
            AuthoringError,
            "keras_fn does not build a valid module",
        ),
        (f"{__name__}.graph_fn", "saved_model", AuthoringError, "TypeError: graph_fn"),
        (f"{__name__}.unbuilt", "saved_model", AuthoringError, "not a Keras 2 model"),
    ],
)
def test_a_function_that_builds_no_module(
    module_fn: str, module_format: ModuleFormat, error: type[Exception], why: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=why):
        NewModule(module_fn, module_format).create(tmp_path, 0)
    assert not any(tmp_path.iterdir())


def test_an_unknown_format() -> None:
    with pytest.raises(ConfigError, match="unknown format 'onnx'"):
        NewModule("a.b", "onnx")  # type: ignore[arg-type]


def test_a_parent_keeps_its_format(tmp_path: Path) -> None:
    parent = ResolvedModule.of_directory(testing.minimal_module(tmp_path / "1"))
    check_format(None, parent)
    check_format("saved_model", parent)
    with pytest.raises(ConfigError, match=r"tf1_hub does not fit: .* has saved_model"):
        check_format("tf1_hub", parent)


# --- What becomes of it --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(
    module_format: ModuleFormat, tmp_path_factory: pytest.TempPathFactory
) -> list[FineTuneResult]:
    """Two equal runs."""
    folder = tmp_path_factory.mktemp("new")
    texts = [f"{one} {other}" for one in testing.WORDS for other in testing.WORDS]
    rows = [f"{text},{int('cat' in text or 'dog' in text)}" for text in texts * 4]
    (folder / "train.csv").write_text("\n".join(["text,pet", *rows]) + "\n")
    config = FineTuneConfig("pet", steps=60, batch_size=32, learning_rate=0.1, seed=3)
    new, files = new_module(module_format), [str(folder / "train.csv")]
    one = fine_tune_files(new, files, [], str(folder / "a"), config)
    with pytest.MonkeyPatch.context() as patch:
        trust_tuned(patch)  # It is to equal the first.
        return [one, fine_tune_files(new, files, [], str(folder / "b"), config)]


def test_it_learns(trained: list[FineTuneResult]) -> None:
    assert trained[0].metrics["accuracy"] > 0.9
    report = json.loads(Path(trained[0].module).with_name("report.json").read_text())
    assert report["parent"] is None
    assert report["module_fn"] in FUNCTIONS.values()


def test_two_runs_are_equal(trained: list[FineTuneResult], module_format: ModuleFormat) -> None:
    one, other = trained
    assert one.metrics == other.metrics
    values, others = weights(one.module), weights(other.module)
    assert all(np.array_equal(value, others[name]) for name, value in values.items())
    if module_format == "tf1_hub":  # TensorFlow counts the functions of a process in their names.
        assert one.digest == other.digest


def test_nothing_claims_to_be_its_parent(trained: list[FineTuneResult]) -> None:
    assert [result.parent_digest for result in trained] == [None, None]


@pytest.mark.usefixtures("taken_on_trust")
def test_it_is_a_base_for_others(
    trained: list[FineTuneResult], module_format: ModuleFormat, tmp_path: Path
) -> None:
    base = ResolvedModule.of_directory(trained[0].module)
    (tmp_path / "train.csv").write_text("text,pet\n" + "cat,1\nhello,0\n" * 8)
    config = FineTuneConfig("pet", steps=2, batch_size=4)
    result = fine_tune_files(base, [str(tmp_path / "*.csv")], [], str(tmp_path / "out"), config)
    assert result.parent_digest == trained[0].digest
    if module_format == "saved_model":
        with eagerly():
            layer = hub.KerasLayer(result.module, trainable=True)
            assert layer(tf.constant(["cat"])).shape == (1, 3)
            assert len(layer.trainable_weights) == 1
            assert len(layer.losses) == 1


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_that_was_cut_off_goes_on_from_the_module_it_began_with(
    trained: list[FineTuneResult], module_format: ModuleFormat
) -> None:
    """Also where TensorFlow would name the functions of a module otherwise the second time."""
    folder = Path(trained[0].module).parent
    (folder / "report.json").unlink()
    files = [str(folder.parent / "train.csv")]
    config = FineTuneConfig("pet", steps=60, batch_size=32, learning_rate=0.1, seed=3)
    again = fine_tune_files(new_module(module_format), files, [], str(folder), config)
    assert again.digest == trained[0].digest == Manifest.of_directory(again.module).digest
