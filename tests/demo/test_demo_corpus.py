"""Docstrings are found, told apart, labelled, and written as TFX reads them."""

import sys
import unittest
from pathlib import Path

import pytest
import tensorflow as tf

from demo.corpus import Document, read_docstrings, write_tfrecord
from hub_tfx.errors import OutputError

SOURCE = '''"""A module about the handling of parcels."""

class Parcel:
    """Something wrapped in paper.

    It has:
        a sender and a receiver.
    """

    if True:
        async def send(self):
            """Hands the parcel over to the post."""

            def stamp():
                """Sticks as many stamps as needed on it."""
'''


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A small standard library."""
    return write(tmp_path / "lib", {"post/__init__.py": SOURCE})


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def texts(root: Path, **options) -> list[str]:
    return [document.text for document in read_docstrings(root, **options)]


def test_modules_classes_and_functions_at_any_depth_are_read_in_order(library: Path):
    assert [(d.name, d.location) for d in read_docstrings(library)] == [
        ("post", "post/__init__.py:1"),
        ("post.Parcel", "post/__init__.py:4"),
        ("post.Parcel.send", "post/__init__.py:12"),
        ("post.Parcel.send.stamp", "post/__init__.py:15"),
    ]


def test_a_text_has_lost_its_indentation_and_knows_its_package(library: Path):
    parcel = read_docstrings(library)[1]
    assert parcel.text == "Something wrapped in paper.\n\nIt has:\n    a sender and a receiver."
    assert parcel.first_line == "Something wrapped in paper."
    assert parcel.package == "post"


def test_the_package_of_a_single_file_is_its_module(tmp_path: Path):
    write(tmp_path, {"post.py": SOURCE, "__init__.py": '"""Stands alone at the very top."""'})
    assert {d.package for d in read_docstrings(tmp_path)} == {"post", "__init__"}


@pytest.mark.parametrize(
    "folder", ["test", "post/tests", "idlelib/idle_test", "site-packages/six", "__pycache__"]
)
def test_tests_and_installed_packages_are_left_out(tmp_path: Path, folder: str):
    assert texts(write(tmp_path, {f"{folder}/post.py": SOURCE})) == []


def test_short_texts_are_left_out(library: Path):
    assert [len(text.split()) for text in texts(library, fewest_words=8)] == [11, 8]


def test_of_equal_texts_the_first_counts_however_it_is_wrapped(tmp_path: Path):
    write(
        tmp_path,
        {
            "b.py": '"""Of two equal texts, one is kept."""',
            "a.py": '"""Of two equal texts,\none is kept."""',
        },
    )
    assert [d.name for d in read_docstrings(tmp_path)] == ["a"]


def test_files_that_are_not_for_this_python_are_passed_over(tmp_path: Path):
    write(tmp_path, {"two.py": "print 'hello'", "null.py": "a = 1\0", "post.py": SOURCE})
    assert len(texts(tmp_path)) == 4


def test_half_a_surrogate_pair_becomes_a_question_mark(tmp_path: Path):
    write(tmp_path, {"odd.py": r'"""This \ud800 is half of a pair."""'})
    assert texts(tmp_path) == ["This ? is half of a pair."]


def test_the_standard_library_is_thousands_of_different_texts(documents: list[Document]):
    assert len(documents) > 5000
    assert len({" ".join(d.text.split()) for d in documents}) == len(documents)
    assert len({d.location for d in documents}) == len(documents)
    assert {"json", "email", "argparse"} <= {d.package for d in documents}
    assert not {"test", "site-packages"} & {d.package for d in documents}


def test_reading_twice_gives_the_same():
    folder = Path(unittest.__file__).parent
    assert read_docstrings(folder) == read_docstrings(folder) != []


def test_nothing_is_imported(documents: list[Document]):
    assert "antigravity" not in sys.modules


def test_every_document_is_an_example(library: Path, tmp_path: Path):
    documents = read_docstrings(library)
    paths = write_tfrecord(documents, tmp_path / "examples", shards=3)
    assert sorted((tmp_path / "examples").glob("*")) == paths
    assert {path.suffix for path in paths} == {".gz"}
    assert sorted(map(as_document, records(paths)), key=lambda d: d.location) == sorted(
        documents, key=lambda d: d.location
    )


def test_the_same_documents_give_the_same_bytes(library: Path, tmp_path: Path):
    one, two = (
        [path.read_bytes() for path in write_tfrecord(read_docstrings(library), tmp_path / name)]
        for name in ("one", "two")
    )
    assert one == two


def test_a_folder_that_holds_something_is_refused(library: Path, tmp_path: Path):
    with pytest.raises(OutputError, match="lib is not empty"):
        write_tfrecord(read_docstrings(library), library)


def records(paths: list[Path]) -> list[tf.train.Example]:
    dataset = tf.data.TFRecordDataset([str(path) for path in paths], "GZIP")
    return [tf.train.Example.FromString(record.numpy()) for record in dataset]


def as_document(example: tf.train.Example) -> Document:
    features = example.features.feature
    return Document(**{key: features[key].bytes_list.value[0].decode() for key in features})
