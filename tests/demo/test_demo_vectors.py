"""Word vectors: the same every time, of use, and what the module makes of them."""

from pathlib import Path

import numpy as np
import pytest

from demo.corpus import Document
from demo.nearest import chance_agreement, label_agreement
from demo.vectors import WordVectors, learn, words_of
from hub_tfx.errors import AuthoringError
from hub_tfx.module.create import read_vectors, text_embedding_module
from hub_tfx.module.load import load

PETS = ["the cat and the dog eat", "a dog and a cat sleep"] * 5
MONEY = ["the bank and the loan cost", "a loan and a bank pay"] * 5


def cosine(words: WordVectors, one: str, other: str) -> float:
    a, b = (words.vectors[words.words.index(word)] for word in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't PANIC!", ["dont", "panic"]),
        ("os.path, sys_argv", ["ospath", "sysargv"]),
        ("«a»\u00a0b\u3000c\td", ["a", "b", "c", "d"]),
        ("5 € + $3", ["5", "€", "3"]),
        ("...", []),
    ],
)
def test_words_are_in_lower_case_and_without_punctuation(text: str, words: list[str]):
    assert words_of(text) == words


def test_words_of_one_subject_are_near_each_other():
    words = learn(PETS + MONEY, dim=4)
    assert cosine(words, "cat", "dog") > 0.5 > cosine(words, "cat", "loan")


def test_windows_do_not_reach_into_the_next_text():
    one, other = learn(PETS + MONEY, dim=4), learn([*MONEY, "", *PETS], dim=4)
    assert one.words == other.words
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def test_frequent_words_come_first_and_are_short():
    words = learn(PETS + MONEY, dim=4)
    lengths = np.linalg.norm(words.vectors, axis=1)
    assert words.words[:3] == ("a", "and", "the")
    assert lengths[0] < lengths[-1]


def test_the_vocabulary_is_cut_and_words_that_come_once_are_left_out():
    assert "once" not in learn([*PETS, "only once"], dim=2).words
    assert learn(PETS + MONEY, dim=2, vocabulary_size=5).words == ("a", "and", "the", "bank", "cat")


def test_too_few_words_are_refused():
    with pytest.raises(AuthoringError, match=r"10 texts have 7 words .* more than 128"):
        learn(PETS)
    with pytest.raises(AuthoringError, match="0 texts"):
        learn([])


def test_learning_twice_gives_the_same(documents: list[Document]):
    texts = [document.text for document in documents[:1000]]
    one, again = learn(texts), learn(texts)
    assert again.words == one.words
    np.testing.assert_array_equal(again.vectors, one.vectors)


def test_vectors_are_finite_none_is_zero_and_none_longer_than_one(words: WordVectors):
    lengths = np.linalg.norm(words.vectors, axis=1)
    assert words.vectors.shape == (len(words.words), 128)
    assert words.vectors.dtype == np.float32
    assert np.isfinite(words.vectors).all()
    assert lengths.min() > 0
    assert lengths.max() <= 1 + 1e-6


def test_the_nearest_text_is_mostly_of_the_same_package(
    documents: list[Document], words: WordVectors
):
    labels = [document.package for document in documents]
    vectors = words.embed([document.text for document in documents])
    assert chance_agreement(labels) < 0.05
    assert label_agreement(vectors, labels) > 0.65


def test_the_text_format_gives_back_the_same_numbers(words: WordVectors, tmp_path: Path):
    words.write_text(tmp_path / "words.txt")
    read_words, vectors = read_vectors(tmp_path / "words.txt")
    assert tuple(read_words) == words.words
    np.testing.assert_array_equal(vectors, words.vectors)


def test_embed_is_what_the_module_does(
    documents: list[Document], words: WordVectors, tmp_path: Path
):
    texts = ["", "nobody-has-this-word os.path", "Don’t\u00a0panic: it's 5 €\x1cor so"]
    texts += [document.text for document in documents]
    created = text_embedding_module(words.words, words.vectors, tmp_path / "module")
    assert created.left_out == ()
    vectors = load(created.path)({"default": texts})["default"].numpy()
    np.testing.assert_allclose(words.embed(texts), vectors, atol=1e-5)
