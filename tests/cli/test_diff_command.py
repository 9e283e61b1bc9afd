"""`hub-tfx diff`, as a person calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tfx.cli.main import run
from hub_tfx.store.archive import pack
from hub_tfx.testing import minimal_module


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def called(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    exit_code = run(["diff", *map(str, arguments)])
    output = capsys.readouterr()
    return exit_code, output.out, output.err


def test_a_module_of_another_dimension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = minimal_module(tmp_path / "a"), minimal_module(tmp_path / "b", dim=8)
    (right / "new").write_bytes(b"123")
    exit_code, out, err = called(capsys, left, right)
    assert (exit_code, err) == (0, "")
    fields, changes, files = out.split("\n\n")
    assert fields.splitlines()[:2] == [
        "verdict\tnot drop-in: 1 breaking change",
        f"handle\t{left} → {right}",
    ]
    assert changes.splitlines()[1] == (
        "breaking\toutput default of signature serving_default\tfloat32[?, 4]\tfloat32[?, 8]"
    )
    assert files.splitlines()[1:] == ["new\t-\t3", "saved_model.pb\t114\t114"]
    document = json.loads(called(capsys, left, right, "--json")[1])
    assert (document["drop_in"], document["left"]["embedding_dim"]) == (False, 4)
    assert document["changes"][0]["breaks"] is True
    assert document["files"][0] == {"path": "new", "left_bytes": None, "right_bytes": 3}


def test_modules_are_compared_by_what_handles_stand_for(
    tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = minimal_module(tmp_path / "a")
    exit_code, out, _ = called(capsys, module, module)
    assert (exit_code, out) == (0, "verdict\tidentical: the same bytes\n")
    assert not cache_dir.exists()
    pack(module, tmp_path / "a.tar.gz")
    assert (
        "verdict\tidentical: the same bytes\n" in called(capsys, module, tmp_path / "a.tar.gz")[1]
    )


def test_what_is_not_a_module_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code, out, err = called(capsys, minimal_module(tmp_path / "a"), tmp_path)
    assert (exit_code, out) == (1, "")
    assert f"error: {tmp_path} is not a module" in err
    assert len(err.splitlines()) == 1


def test_names_of_files_do_not_steer_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = minimal_module(tmp_path / "a"), minimal_module(tmp_path / "b")
    (right / "\x1b[2J").write_bytes(b"")
    out = called(capsys, left, right)[1]
    assert "\x1b" not in out
    assert r"\x1b[2J" in out


def test_cards_and_differences_need_no_tensorflow(tmp_path: Path) -> None:
    module = minimal_module(tmp_path / "a")
    script = f"""
import sys
from hub_tfx.cli.main import run
import hub_tfx.repository.facts, hub_tfx.repository.card_import
run(["card", "--help"])
light = {{"ruamel.yaml", "license_expression", "langcodes", "tensorflow", "apache_beam", "tfx"}}
print(light & sys.modules.keys())
run(["diff", {str(module)!r}, {str(module)!r}])
run(["card", "init", {str(module)!r}])
print({{"tensorflow", "apache_beam", "tfx"}} & sys.modules.keys())
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ}
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("set()\n") == 2
