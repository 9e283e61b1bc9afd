"""The sitecustomize for programs that cannot be changed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tfx.cli.main import run
from hub_tfx.drop_in import FOR_PYTHONPATH
from hub_tfx.testing import serve

REPORT = "import sys; print(sorted(m for m in sys.modules if m.split('.')[0] == 'hub_tfx'))"


def python(code: str, *folders: Path, **environment: str) -> str:
    """What a program prints whose PYTHONPATH begins with our folder."""
    package = Path(FOR_PYTHONPATH).parents[2]
    path = os.pathsep.join([FOR_PYTHONPATH, *map(str, folders), str(package)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def light_tf_hub(tmp_path: Path) -> Path:
    """TF Hub's own registry in a package that does not import TensorFlow, which takes seconds."""
    spec = importlib.util.find_spec("tensorflow_hub")
    assert spec is not None
    assert spec.origin is not None
    package = tmp_path / "light" / "tensorflow_hub"
    package.mkdir(parents=True)
    shutil.copy(Path(spec.origin).with_name("registry.py"), package)
    (package / "__init__.py").write_text("from tensorflow_hub.registry import resolver as resolve")
    (package / "resolver.py").write_text("def tfhub_cache_dir(): return None")
    return package.parent


def test_the_command_prints_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drop-in"]) == 0
    assert capsys.readouterr().out == f"{FOR_PYTHONPATH}\n"


def test_a_program_starts_as_before_and_the_hidden_sitecustomize_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hidden')")
    assert python(REPORT, tmp_path) == "hidden\n[]\n"


def test_tf_hub_takes_modules_from_the_cache(
    tmp_path: Path, source: Path, light_tf_hub: Path
) -> None:
    program = f"import tensorflow_hub as hub, sys; print(hub.resolve(sys.argv[1])); {REPORT}"
    with serve({"/m": source}) as url:
        code = f"import sys; sys.argv = ['', '{url}/m']; {program}"
        path, imported = python(code, light_tf_hub).splitlines()
    assert Path(path).is_relative_to(tmp_path / "cache" / "hub_tfx")
    assert "hub_tfx.drop_in.resolver" in imported


@pytest.mark.slow
def test_tf_hub_itself_takes_modules_from_the_cache(tmp_path: Path, source: Path) -> None:
    with serve({"/m": source}) as url:
        path = python(f"import tensorflow_hub as hub; print(hub.resolve('{url}/m'))").strip()
    assert Path(path).is_relative_to(tmp_path / "cache" / "hub_tfx")
