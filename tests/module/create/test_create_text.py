"""Text embedding modules in both formats."""

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx import testing
from hub_tfx.errors import AuthoringError, ConfigError, OutputError
from hub_tfx.module.create import text_embedding_module
from hub_tfx.module.load import load
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat, SignatureSpec, TensorInfo

VECTORS = dict(zip(testing.WORDS, np.float32(testing.text_vectors()), strict=True))
TEXTS = ["The cat sat on the mat.", "", "HELLO, world!", "nobody knows", "dog dog unheard-of"]
FORMATS = ("tf1_hub", "saved_model")


def embed(path: Path, texts: list[str]) -> np.ndarray:
    return load(path, "default")({"default": texts})["default"].numpy()


def create(path: Path, words: list[str], **options) -> Path:
    vectors = np.arange(1, 2 * len(words) + 1, dtype=np.float32).reshape(-1, 2)
    return text_embedding_module(words, vectors, path, **options).path


def test_a_text_is_the_sum_of_its_words_over_the_root_of_their_number(text_module_dir: Path):
    expected = sum(VECTORS[w] for w in ("the", "cat", "sat", "on", "the", "mat")) / np.sqrt(6)
    np.testing.assert_allclose(
        embed(text_module_dir, ["the cat sat on the mat"]), [expected], rtol=1e-5
    )


def test_both_formats_give_the_same_vectors(tmp_path: Path):
    options = {"num_oov_buckets": 7, "oov_seed": 3}
    tf1, tf2 = (
        embed(
            create(tmp_path / name, list(testing.WORDS), format=name, **options),  # type: ignore[arg-type]
            TEXTS,
        )
        for name in FORMATS
    )
    np.testing.assert_allclose(tf1, tf2, atol=1e-6)
    assert np.any(tf1[3])


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("HELLO World", "hello world"),
        ("“Hello,” — world!?", "hello world"),
        ("  hello\t\nworld \r\n", "hello world"),
        ("hello\u00a0world\u3000cat\u2003dog", "hello world cat dog"),
        ("$cat+ <dog>", "cat dog"),
    ],
)
def test_case_punctuation_and_white_space_make_no_difference(
    text: str, same_as: str, text_module_dir: Path
):
    one, other = embed(text_module_dir, [text, same_as])
    np.testing.assert_array_equal(one, other)


def test_words_of_any_script_are_found(tmp_path: Path, module_format: ModuleFormat):
    path = create(tmp_path / "1", ["größe", "кошка", "猫", "σας"], format=module_format)
    found = embed(path, ["GRÖSSE", "GRÖßE", "КОШКА!", "「猫」", "ΣΑΣ", b"\xff\xfe"])
    np.testing.assert_array_equal(found, [[0, 0], [1, 2], [3, 4], [5, 6], [7, 8], [0, 0]])


def test_a_text_without_words_is_the_zero_vector(text_module_dir: Path):
    assert not embed(text_module_dir, ["", "   ", "?!", "\u00a0"]).any()


def test_an_empty_batch_gives_no_rows(text_module_dir: Path):
    assert embed(text_module_dir, []).shape == (0, 4)


def test_an_unknown_word_is_zero_but_counts(text_module_dir: Path):
    unknown, mixed = embed(text_module_dir, ["unheard", "cat unheard"])
    assert not unknown.any()
    np.testing.assert_allclose(mixed, VECTORS["cat"] / np.sqrt(2), rtol=1e-6)


def test_unknown_words_are_hashed_to_the_buckets(tmp_path: Path, module_format: ModuleFormat):
    path = create(tmp_path / "1", ["cat"], format=module_format, num_oov_buckets=4, oov_seed=0)
    vectors = embed(path, [f"unknown{i}" for i in range(100)])
    assert len(np.unique(vectors, axis=0)) == 4
    assert vectors.all()
    np.testing.assert_array_equal(vectors, embed(path, [f"UNKNOWN{i}!" for i in range(100)]))


def test_the_vocabulary_is_normalized_as_texts_are(tmp_path: Path, module_format: ModuleFormat):
    words = ["Cat", "cat", "Dog", "DOG", "U.S.", ",", "mad\u00a0house"]
    vectors = [[row] for row in range(1, len(words) + 1)]
    made = text_embedding_module(words, vectors, tmp_path / "1", format=module_format)
    assert made.left_out == ("Cat", "DOG", ",", "mad\u00a0house")
    np.testing.assert_array_equal(
        embed(made.path, ["Cat", "dog", "us", "U.S.!", ",", "mad"]), [[2], [3], [5], [5], [0], [0]]
    )


def test_the_signature_is_the_common_text_signature(text_module_dir: Path):
    common = SignatureSpec(
        {"default": TensorInfo("string", (None,))}, {"default": TensorInfo("float32", (None, 4))}
    )
    assert load(text_module_dir, "default").signature_spec == common


def test_the_module_is_whole_and_can_be_moved(text_module_dir: Path, tmp_path: Path):
    before = embed(text_module_dir, TEXTS)
    moved = tmp_path / "elsewhere"
    shutil.copytree(text_module_dir, moved)
    assert (moved / "assets" / "vocabulary.txt").read_text().split() == list(testing.WORDS)
    assert str(text_module_dir.parent).encode() not in (moved / "saved_model.pb").read_bytes()
    np.testing.assert_array_equal(embed(moved, TEXTS), before)


def test_the_table_is_a_variable_and_no_constant_of_the_graph(
    tmp_path: Path, module_format: ModuleFormat
):
    words = [f"w{i}" for i in range(2000)]
    made = text_embedding_module(words, np.ones([2000, 200]), tmp_path / "1", format=module_format)
    assert (made.path / "saved_model.pb").stat().st_size < 100_000
    assert sum(f.size_bytes for f in Manifest.of_directory(made.path).files) > 2001 * 200 * 4


def test_two_loaded_modules_of_one_vocabulary_do_not_disturb_each_other(text_module_dir: Path):
    kept, dropped = load(text_module_dir, "default"), load(text_module_dir, "default")
    dropped({"default": TEXTS})
    del dropped
    gc.collect()
    assert kept({"default": TEXTS})["default"].shape == (5, 4)


def test_a_tf1_module_exported_twice_has_one_digest(tmp_path: Path):
    first, second = (testing.text_module(tmp_path / name) for name in "ab")
    assert Manifest.of_directory(first) == Manifest.of_directory(second)


def test_the_callers_graph_is_left_alone(tmp_path: Path, module_format: ModuleFormat):
    with tf.Graph().as_default() as graph:
        path = create(tmp_path / "1", ["cat"], format=module_format)
        assert not graph.get_operations()
        assert not graph.collections
    assert tf.executing_eagerly()
    np.testing.assert_array_equal(embed(path, ["cat"]), [[1, 2]])


# --- Training ------------------------------------------------------------------------------------


def in_graph(path: Path, tags: set[str]):
    """The module's vectors of "cat cat", its losses, gradient and variables, in a TF1 session."""
    collection, keys = tf.compat.v1.get_collection, tf.compat.v1.GraphKeys
    with tf.Graph().as_default():
        vectors = hub.Module(str(path), trainable=True, tags=tags)(["cat cat"])
        variables = collection(keys.TRAINABLE_VARIABLES)
        losses = collection(keys.REGULARIZATION_LOSSES)
        gradient = tf.convert_to_tensor(tf.gradients(vectors, variables)[0])
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            session.run(tf.compat.v1.tables_initializer())
            return session.run([vectors, losses, gradient, variables])


def test_the_train_variant_has_the_regularization_loss_and_the_plain_one_has_not(tmp_path: Path):
    path = create(tmp_path / "1", ["dog", "cat"], l2_regularization=0.5)
    vectors, losses, gradient, (table,) = in_graph(path, {"train"})
    assert losses == [pytest.approx(0.5 * (1 + 4 + 9 + 16))]
    np.testing.assert_allclose(vectors, [[6 / np.sqrt(2), 8 / np.sqrt(2)]], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0, 0], [np.sqrt(2), np.sqrt(2)], [0, 0]], rtol=1e-6)
    assert table.shape == (3, 2)
    plain, no_losses, _, _ = in_graph(path, set())
    assert no_losses == []
    np.testing.assert_array_equal(plain, vectors)


def test_a_factor_of_zero_means_no_loss(tmp_path: Path):
    tf1 = create(tmp_path / "1", ["cat"], l2_regularization=0)
    tf2 = create(tmp_path / "2", ["cat"], l2_regularization=0, format="saved_model")
    assert in_graph(tf1, {"train"})[1] == []
    assert not hub.load(str(tf2)).regularization_losses


def test_keras_fine_tunes_the_saved_model(tmp_path: Path):
    path = create(tmp_path / "1", ["dog", "cat"], format="saved_model", l2_regularization=0.5)
    layer = hub.KerasLayer(str(path), trainable=True)
    model = tf.keras.Sequential([tf.keras.Input([], dtype=tf.string), layer])
    assert [weight.shape for weight in layer.trainable_weights] == [(3, 2)]
    assert [float(loss) for loss in layer.losses] == [pytest.approx(15.0)]
    model.compile("sgd", "mse")
    model.fit(tf.constant(["cat", "dog"]), tf.zeros([2, 2]), verbose=0)
    dog, cat, _ = layer.trainable_weights[0].numpy()
    assert (np.abs(dog) < [1, 2]).all()
    assert (np.abs(cat) < [3, 4]).all()


def test_keras_runs_both_formats(text_module_dir: Path):
    layer = hub.KerasLayer(str(text_module_dir))
    np.testing.assert_allclose(layer(tf.constant(TEXTS)), embed(text_module_dir, TEXTS), atol=1e-6)


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        ([], [], "the vocabulary is empty"),
        (["cat", "dog"], [[1.0]], r"shape \(1, 1\), but 2 words need \(2, dim\)"),
        (["cat"], [1.0], r"shape \(1,\)"),
        (["cat"], [[]], r"shape \(1, 0\)"),
        (["cat"], [["x"]], "are not a matrix of numbers"),
        (["cat", "dog"], [[1.0], [float("nan")]], "row 1, 'dog'"),
        (["cat"], [[1e39]], "row 0, 'cat'"),
        (["cat", "dog", "cat"], [[1.0]] * 3, "row 2 of the vocabulary, 'cat', is also row 0"),
        (["new york", "a\nb"], [[1.0]] * 2, "no word of the vocabulary is left"),
        ([""], [[1.0]], "row 0 of the vocabulary is empty"),
        ([b"cat"], [[1.0]], "not a string"),
        (["\ud800"], [[1.0]], "is not valid Unicode"),
        ([",", "!"], [[1.0]] * 2, "no word of the vocabulary is left"),
    ],
)
def test_bad_words_and_vectors_are_refused_and_leave_nothing(
    words: list, vectors: list, message: str, tmp_path: Path
):
    with pytest.raises(AuthoringError, match=message):
        text_embedding_module(words, vectors, tmp_path / "1")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [{"num_oov_buckets": 0}, {"l2_regularization": -1.0}, {"format": "tf3"}]
)
def test_options_without_meaning_are_refused(options: dict, tmp_path: Path):
    with pytest.raises(ConfigError):
        create(tmp_path / "1", ["cat"], **options)
    assert not list(tmp_path.iterdir())


def test_an_existing_module_is_not_replaced(text_module_dir: Path, module_format: ModuleFormat):
    before = Manifest.of_directory(text_module_dir)
    with pytest.raises(OutputError, match="is not empty"):
        create(text_module_dir, ["cat"], format=module_format)
    assert Manifest.of_directory(text_module_dir) == before


def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, module_format: ModuleFormat, monkeypatch: pytest.MonkeyPatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hub_tfx._files.sync_tree", full)
    with pytest.raises(OutputError, match="No space left on device"):
        create(tmp_path / "1", ["cat"], format=module_format)
    assert not list(tmp_path.iterdir())
