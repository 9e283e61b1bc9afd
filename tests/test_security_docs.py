"""docs/security.md: every test that it names is there, and what no test holds is called open."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [line for line in PAGE.splitlines() if re.match(r"\| (?!.*\| what happens \|)", line)]
ROWS = [row for row in ROWS if row.count(" | ") > 1]  # Tables of two columns name no tests.
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_is_named_exists(test: str) -> None:
    path, _, name = test.partition("::")
    defined = ast.walk(ast.parse((ROOT / path).read_text()))
    assert name in {node.name for node in defined if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_a_row_names_a_test_or_says_that_it_is_open(row: str) -> None:
    what, happens, tests, left = (cell.strip() for cell in row.strip("|").split("|"))
    assert what
    assert bool(happens) == bool(tests)
    assert tests or left
    assert left in ("", "open") or left.startswith("partly: " if tests else "open: ")


def test_every_threat_and_every_fault_has_one_line_by_its_number() -> None:
    numbered = re.findall(r"(?m)^\| (F?\d+): ", PAGE.partition("## By number")[2])
    assert numbered == [*map(str, range(1, 32)), *(f"F{n}" for n in range(1, 25))]
