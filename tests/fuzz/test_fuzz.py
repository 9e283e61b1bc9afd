"""Readers of what others send, with inputs that atheris makes up, and those that failed once."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_targets import CORPUS, TARGETS, read, seeds

from hub_tfx.errors import NotAModuleError
from hub_tfx.module.inspect import inspect
from hub_tfx.testing import minimal_module

RUNS = 20_000
FAILED = sorted(path for path in CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", FAILED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_input_that_failed_once_does_not_any_more(path: Path) -> None:
    read(path.parent.name, path.read_bytes())


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_fuzzing_begins_with_is_read_and_its_beginnings_are_read_or_refused(
    target: str,
) -> None:
    for seed in seeds(target, quick=True):
        TARGETS[target](seed)
        for end in range(0, len(seed), 1 + len(seed) // 20):
            read(target, seed[:end])


@pytest.mark.slow
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_nothing_that_fuzzing_finds_is_an_error_of_ours(target: str, tmp_path: Path) -> None:
    """An input that fails belongs into tests/fuzz/corpus/TARGET, where every run tries it."""
    (tmp_path / "found").mkdir()
    for number, seed in enumerate(seeds(target)):
        (tmp_path / "found" / f"seed{number}").write_bytes(seed)
    script = Path(__file__).with_name("run_target.py")
    done = subprocess.run(
        [sys.executable, str(script), target, str(RUNS), str(tmp_path)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    crashes = [path for path in tmp_path.iterdir() if path.is_file()]
    told = "".join((done.stdout + done.stderr).partition("Uncaught Python exception")[1:])[:3000]
    assert not crashes, f"{crashes[0]} ({crashes[0].read_bytes()[:200]!r}): {told}"
    assert done.returncode == 0, done.stderr[-3000:]


def test_bytes_behind_the_end_of_a_saved_model_are_damage(tmp_path: Path) -> None:
    """Found by fuzzing: an end of a group that never began ended the reading without an error."""
    module = minimal_module(tmp_path / "module")
    inspect(module)
    with (module / "saved_model.pb").open("ab") as file:
        file.write(b"\x0c\x12\x00")
    with pytest.raises(NotAModuleError, match="damaged"):
        inspect(module)
