"""`make mutants`: applies each mutant to a copy of the project, and runs the test that must fail.

python tests/mutants/run_mutants.py [part of a name]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
_SECONDS = 300
_COPIED = (
    "hub_tfx",
    "pipelines",
    "kubeflow",
    "demo",
    "tests",
    "docs",
    "pyproject.toml",
    "README.md",
)
_LINKED = {"hub_tfx_pipelines": "pipelines", "hub_tfx_kubeflow": "kubeflow"}
_PASSED, _FAILED = 0, 1


def mutated(mutant: Mutant, root: Path = ROOT) -> str:
    """The text of the file with the mutant in it; raises ValueError where it no longer applies."""
    text = (root / mutant.file).read_text()
    found = text.count(mutant.old)
    if found != 1:
        raise ValueError(
            f"{mutant.name}: its text is {found} times in {mutant.file}: mend the mutant"
        )
    return text.replace(mutant.old, mutant.new)


def copy_project(folder: Path) -> Path:
    for name in _COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "out")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    for name, target in _LINKED.items():
        (folder / name).symlink_to(target)
    return folder


def outcome(copy: Path, tests: Iterable[str]) -> int:
    """The exit code of pytest: 0 all passed, 1 some failed, others for what is no answer.

    A test that does not end has failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, timeout=_SECONDS, check=False, **quiet
        ).returncode
    except subprocess.TimeoutExpired:
        return _FAILED


def run(mutants: Iterable[Mutant]) -> int:
    """Prints what became of each mutant; returns how many were not killed."""
    mutants = list(mutants)
    killed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_project(Path(folder))
        for mutant in mutants:
            file = copy / mutant.file
            original = file.read_text()
            try:
                file.write_text(mutated(mutant, copy))
            except ValueError as error:
                print(f"does not apply  {error}", flush=True)
                continue
            code = outcome(copy, [mutant.test])
            file.write_text(original)
            said = {_PASSED: "survived", _FAILED: "killed"}.get(code, f"pytest ended with {code}")
            killed += code == _FAILED
            print(f"{said:<15} {mutant.name}", flush=True)
        if outcome(copy, sorted({mutant.test for mutant in mutants})) != _PASSED:
            print("a test fails without a mutant: the numbers mean nothing", flush=True)
            killed = 0
    print(f"killed {killed} of {len(mutants)}")
    return len(mutants) - killed


if __name__ == "__main__":
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit(1 if run(m for m in MUTANTS if wanted in m.name) else 0)
