"""The corpus: docstrings of the Python standard library, which every machine with Python has.

The files are parsed, never imported: importing would run them (``antigravity`` opens a browser).
"""

import ast
import inspect
import os
import sysconfig
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.errors import OutputError

_SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib-dynload"}
)
_FEWEST_WORDS = 5  # Below that it is "See base class." and the like, which is about nothing.

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Document:
    """One docstring.

    Attributes:
      text: the docstring without its indentation.
      package: top-level module or package, such as ``email``: the label of the text.
      name: qualified name, such as ``email.message.Message.attach``.
      location: ``email/message.py:120``; the path is relative to the standard library, and the
        line is the first of the docstring.
    """

    text: str
    package: str
    name: str
    location: str

    @property
    def first_line(self) -> str:
        return self.text.partition("\n")[0]


def read_docstrings(
    root: str | os.PathLike[str] | None = None, *, fewest_words: int = _FEWEST_WORDS
) -> list[Document]:
    """The docstrings below a folder of Python source, in the order of files and lines.

    Modules, classes and functions count, nested ones too; tests, installed packages, files that
    this Python cannot parse, short texts and repeated texts do not. Equal source gives equal
    documents.

    Args:
      root: the folder; the standard library of the running Python unless given.
      fewest_words: shorter texts are left out.
    """
    root = Path(root or sysconfig.get_paths()["stdlib"])
    documents: dict[str, Document] = {}
    for path in _source_files(root):
        for document in _documents_of(path, path.relative_to(root)):
            if len(document.text.split()) >= fewest_words:
                # Blanks do not tell two texts apart: the module that embeds them sees words only.
                documents.setdefault(" ".join(document.text.split()), document)
    return list(documents.values())


def write_tfrecord(
    documents: Sequence[Document], folder: str | os.PathLike[str], *, shards: int = 2
) -> list[Path]:
    """Writes one tf.Example a document, ready for TFX's ImportExampleGen; returns the files.

    Each has the bytes features ``text``, ``package``, ``name`` and ``location``::

        {folder}/docstrings-00000-of-00002.tfrecord.gz
        {folder}/docstrings-00001-of-00002.tfrecord.gz

    Args:
      documents: dealt to the shards in turn, so that shards have equal shares of every package.
      folder: made if it is missing. ImportExampleGen reads every file in it (its default pattern
        is ``*``), so it must be given to this alone.
      shards: Beam does not split a gzip file, so this is how many workers can read at once.

    Raises:
      OutputError: the folder holds something already.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty: ImportExampleGen would read what is there")
    # Beam knows gzip by the file name's .gz.
    paths = [folder / f"docstrings-{i:05}-of-{shards:05}.tfrecord.gz" for i in range(shards)]
    for i, path in enumerate(paths):
        _write_shard(documents[i::shards], path)
    return paths


def _write_shard(documents: Sequence[Document], path: Path) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("GZIP")) as writer:
        for document in documents:
            example = tf.train.Example()
            for key in ("text", "package", "name", "location"):
                value = getattr(document, key).encode()
                example.features.feature[key].bytes_list.value.append(value)
            # Maps are serialised in hash order otherwise, which differs from run to run.
            writer.write(example.SerializeToString(deterministic=True))


def _source_files(root: Path) -> Iterator[Path]:
    """The .py files, sorted: the order in which a file system lists them is anyone's guess."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
        for name in sorted(names):
            if name.endswith(".py"):
                yield Path(folder, name)


def _documents_of(path: Path, relative: Path) -> Iterator[Document]:
    tree = _parse(path)
    if tree is None:
        return
    parts = relative.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
    for name, node in _walk(module, tree):
        if text := _docstring(node):
            line = node.body[0].lineno
            yield Document(text, parts[0], name, f"{relative.as_posix()}:{line}")


def _parse(path: Path) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Invalid escapes in source that is not ours.
            return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None  # lib2to3 and others ship files for other Pythons.


def _docstring(node: _Documented) -> str:
    """The docstring as UTF-8 can hold it: a literal may hold half a surrogate pair."""
    text = inspect.cleandoc(ast.get_docstring(node, clean=False) or "").strip()
    return text.encode("utf-8", "replace").decode()


def _walk(name: str, node: _Documented) -> Iterator[tuple[str, _Documented]]:
    """The node and the documented nodes in it, with qualified names, in order of lines."""
    yield name, node
    for child in _definitions(node):
        yield from _walk(f"{name}.{child.name}", child)


def _definitions(node: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Definitions directly in the node's scope, also below ``if`` and ``try``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield child
        elif not isinstance(child, ast.expr):  # Expressions hold no definitions, but most nodes.
            yield from _definitions(child)
