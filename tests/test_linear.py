"""What is read or quoted of an input takes time in proportion to it, whatever it holds."""

import importlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ending import must_end

import hub_tfx
from hub_tfx.data.isolate import describe
from hub_tfx.data.readers import READERS
from hub_tfx.errors import InputError
from hub_tfx.module.vectors import read_word_vectors

CHARS = 1 << 17
"""What is linear takes milliseconds for so many characters, what is quadratic takes minutes."""
WORDS = r"""0 1 a A . - + _ / \ : , ; | = " ' { [ [[ {{ }} ]] {{a [[a [Op: [Op:a [1 {1 1. .1 1e /1
/a .a a. .csv .csv-1 .tsv x= -1-of-"""
PIECES = [*WORDS.split(), " ", "\t", "\n", "1 ", "1\t", "a ", " {", ": ", "\0"]
ENDS = ["", "!", "\n", "1", "]", "}"]


def patterns() -> Iterator[tuple[str, str]]:
    """Module and name of every compiled pattern of the package."""
    root = Path(hub_tfx.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for name in re.findall(r"^(\w+) = re\.compile\(", path.read_text(), re.M):
            yield ".".join(("hub_tfx", *path.relative_to(root).with_suffix("").parts)), name


def uses(module: Any, pattern: re.Pattern[Any], name: str) -> list[Callable[[Any], Any]]:
    """The ways in which a module uses its pattern."""
    source = Path(module.__file__).read_text()
    names = set(re.findall(rf"{name}\.(search|match|fullmatch|sub|split|findall|finditer)", source))
    assert names, f"{module.__name__} uses {name} in a way that this test does not know"
    ways = {way: getattr(pattern, way) for way in names}
    empty = pattern.pattern[:0]
    return [
        (lambda text, way=way: way(empty, text))
        if named == "sub"
        else (lambda text, way=way: list(way(text)))
        if named == "finditer"
        else way
        for named, way in ways.items()
    ]


@pytest.mark.parametrize(("module_name", "name"), patterns())
def test_patterns_take_linear_time(module_name: str, name: str) -> None:
    module = importlib.import_module(module_name)
    pattern = getattr(module, name)
    for use in uses(module, pattern, name):
        for piece in PIECES:
            for end in ENDS:
                text: Any = piece * (CHARS // len(piece) // 8) + end
                text = text if isinstance(pattern.pattern, str) else text.encode()
                with must_end():
                    use(text)


def hostile_lines() -> dict[str, tuple[str, bytes]]:
    def record(number: int) -> dict[str, int]:
        return {f"id{number}_{n}": n for n in range(300)}

    return {
        "a cell of braces": ("csv", b"x,y\n" + b"{{" * CHARS + b",1\n"),
        "quotes that open a field in every line": ("csv", b"x,y\n" + b'a","\n' * 150_000),
        "a lone quote in every line": ("csv", b"x,y\n" + b'"\n' * 150_001),
        "a number of many digits": ("csv", b"x,y\n1.5,1\n1." + b"0" * 8 * CHARS + b"x,1\n"),
        "names of their own in every record": (
            "jsonl",
            b"".join(json.dumps(record(n)).encode() + b"\n" for n in range(700)),
        ),
        "names of their own in the object of every record": (
            "jsonl",
            b"".join(json.dumps({"x": record(n)}).encode() + b"\n" for n in range(700)),
        ),
        "lists in lists": ("jsonl", b'{"x": ' + b"[" * CHARS + b'}\n{"x": 1}\n'),
        "digits without end": ("jsonl", b'{"x": ' + b"1" * CHARS + b'}\n{"x": 1}\n'),
    }


@pytest.mark.parametrize("what", hostile_lines())
def test_readers_take_linear_time(what: str, tmp_path: Path) -> None:
    file_format, content = hostile_lines()[what]
    path = tmp_path / f"in.{file_format}"
    path.write_bytes(content)
    with must_end():
        schema = READERS[file_format].infer_schema(str(path))
        batches = READERS[file_format].read(str(path), schema.empty_table().schema, 1024)
        if len(schema) < 100:
            assert sum(batch.num_rows for batch in batches) > 0


def test_an_error_that_quotes_a_row_is_cut_in_linear_time() -> None:
    with must_end():
        said = describe(ValueError("bad row: " + "{{" * 8 * CHARS))
    assert len(said) < 1000


@pytest.mark.parametrize(
    "content",
    [
        b"2 9999999999\nword " + bytes(range(256)) * 100,
        b"9" * CHARS + b" 2\na 1 2\n",
        b"a " + b"1 " * CHARS + b"\nb 1\n" + b"1" * CHARS + b"x 1",
        b"2 2\n" + b"\x01" * 16 * CHARS,
        b"2 2\na \1\2\3\4\1\2\3\4" + b"\x01" * 16 * CHARS,
        b"a" * (1 << 24),
    ],
)
def test_word_vectors_are_read_in_linear_time(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "vectors").write_bytes(content)
    try:
        with must_end():
            said = " ".join(read_word_vectors(tmp_path / "vectors").left_out)
    except InputError as error:
        said = str(error)
    assert len(said) < 1000
