"""Each mutant applies and names a test that is there; the slow one kills them all."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))
from mutant_list import MUTANTS, Mutant  # noqa: E402
from run_mutants import mutated  # noqa: E402


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if _is_test(node)}


def _is_test(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_and_its_test_exists(mutant: Mutant) -> None:
    assert mutated(mutant) != (ROOT / mutant.file).read_text()
    compile(mutated(mutant), mutant.file, "exec")
    path, _, test = mutant.test.partition("::")
    assert (ROOT / path).is_file()
    assert not test or test.partition("[")[0] in names_in(ROOT / path)


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.slow
def test_every_mutant_is_killed() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_mutants.py"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"killed {len(MUTANTS)} of {len(MUTANTS)}"
