"""The snippets of docs/authoring.md run."""

import re
import shlex
from pathlib import Path

import pytest

from hub_tfx.cli.main import run

GUIDE = Path(__file__).parents[3] / "docs" / "authoring.md"


def test_the_snippets_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict = {}
    snippets = re.findall(r"```(python|sh)\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    for language, snippet in snippets:
        if language == "python":
            exec(snippet, names)
        else:
            program, *arguments = shlex.split(snippet)
            assert program == "hub-tfx"
            assert run(arguments) == 0
    made = {str(path.parent.relative_to("modules")) for path in Path("modules").rglob("*.pb")}
    assert made == {
        *("animals/1", "animals/2", "pictures/1", "scale/1", "scale/2"),
        *("tiny-text/1", "tiny-image/1"),
    }
