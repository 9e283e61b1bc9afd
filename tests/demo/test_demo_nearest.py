"""The nearest are the nearest, and are shown as they are."""

import io

import numpy as np
import pytest
from rich.console import Console

from demo.corpus import Document
from demo.nearest import (
    QUERIES,
    answer_table,
    chance_agreement,
    label_agreement,
    nearest,
    print_answers,
)
from demo.vectors import WordVectors


def test_nearest_is_what_comparing_all_with_all_gives():
    random = np.random.default_rng(1)
    queries, vectors = random.normal(size=(1100, 8)), random.normal(size=(50, 8))
    indices, cosines = nearest(queries, vectors, 7)
    lengths = np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(vectors, axis=1))
    expected = queries @ vectors.T / lengths
    np.testing.assert_array_equal(indices, np.argsort(-expected, axis=1)[:, :7])
    np.testing.assert_allclose(cosines, -np.sort(-expected, axis=1)[:, :7], atol=1e-6)


def test_length_does_not_matter_and_equal_cosines_keep_their_order():
    indices, cosines = nearest([[1, 0]], [[0, 2], [3, 0], [1, 0], [-1, 0]], 4)
    assert indices.tolist() == [[1, 2, 0, 3]]
    assert cosines.tolist() == [[1, 1, 0, -1]]


def test_zero_vectors_have_cosine_zero_and_k_may_be_too_large():
    indices, cosines = nearest([[0, 0], [1, 0]], [[0, 0], [-1, 0]], 5)
    assert indices.tolist() == [[0, 1], [0, 1]]
    assert cosines.tolist() == [[0, 0], [0, -1]]


def test_agreement_looks_at_the_nearest_other_row():
    vectors = [[1, 0], [1, 0.1], [0, 1], [0.1, 1]]
    assert label_agreement(vectors, ["a", "a", "b", "b"]) == 1
    assert label_agreement(vectors, ["a", "b", "c", "c"]) == 0.5
    assert label_agreement([[1, 0]] * 4, ["a", "b", "c", "d"]) == 0
    assert chance_agreement(["a", "a", "b", "b"]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("query", "packages"),
    zip(
        QUERIES,
        [{"smtplib"}, {"multiprocessing", "subprocess"}, {"statistics", "random"}],
        strict=True,
    ),
)
def test_the_answers_make_sense(
    documents: list[Document], words: WordVectors, query: str, packages: set[str]
):
    vectors = words.embed([document.text for document in documents])
    (indices,), (cosines,) = nearest(words.embed([query]), vectors, 3)
    assert {documents[i].package for i in indices} == packages
    assert cosines.min() > 0.7
    assert not any(query in " ".join(d.text.lower().split()) for d in documents)


def test_a_table_shows_brackets_and_cuts_what_is_too_long():
    document = Document("[bold]Loud[/bold] " + "very " * 50, "noise", "noise.loud", "noise.py:1")
    printed = render(document, 60)
    assert "0.88" in printed
    assert "noise.loud" in printed
    assert "[bold]Loud[/bold] very" in printed
    assert max(map(len, printed.splitlines())) <= 60
    assert len(printed.splitlines()) == 3


def test_every_query_has_its_table():
    documents = [Document(f"text {i}", "p", f"p.f{i}", f"p.py:{i}") for i in range(3)]
    file = io.StringIO()
    indices, cosines = np.array([[2], [0]]), np.array([[0.5], [0.25]])
    print_answers(["one", "two"], documents, indices, cosines, Console(file=file, width=60))
    assert file.getvalue().index("p.f2") < file.getvalue().index("“two”")
    assert "p.f0" in file.getvalue()


def render(document: Document, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(answer_table("how loud", [document], [0], [0.876]))
    return console.file.getvalue()  # type: ignore[attr-defined]
