"""`hub-tfx check`, and commands that other packages add."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hub_tfx.cli import main
from hub_tfx.cli.main import run
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.testing import minimal_module


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_good_module(
    text_module_dir: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(text_module_dir), "--no-run"]) == 0
    captured = capsys.readouterr()
    lines = [line.split("\t") for line in captured.out.splitlines()]
    assert lines[0] == ["check", "outcome", "why"]
    assert ["assets", "pass"] in [line[:2] for line in lines]
    assert ["hermetic", "not-applicable"] in [line[:2] for line in lines]
    assert captured.err == ""
    assert not cache_dir.exists()  # A directory is checked where it is.


def test_a_bad_module_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = minimal_module(tmp_path / "m")
    assert run(["check", str(module), "--no-run", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["handle", "digest", "path", "format", "passed", "checks"]
    assert document["handle"] == document["path"] == str(module)
    assert document["digest"] == Manifest.of_directory(module).digest
    assert document["passed"] is False
    assert [c["name"] for c in document["checks"] if c["outcome"] == "fail"] == ["callable"]
    assert {"name", "outcome", "why", "fix"} == set(document["checks"][0])


def test_what_to_do_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(minimal_module(tmp_path / "m")), "--no-run"]) == 4
    assert capsys.readouterr().err == (
        "hub-tfx: callable: save an object whose __call__ is a tf.function of "
        "(inputs, training=False)\n"
    )


def test_an_archive_is_resolved_first(
    tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(minimal_module(tmp_path / "m"), tmp_path / "m.tar.gz")
    assert run(["check", str(tmp_path / "m.tar.gz"), "--no-run", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert document["handle"] == str(tmp_path / "m.tar.gz")
    assert document["path"].startswith(str(cache_dir))


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["/etc"], 1, "is not a module"),
        (["ftp://bucket/m"], 2, "http, https, "),
        (["/etc", "--timeout-s", "0"], 2, "--timeout-s"),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert why in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--import", "no_such_ops"], "there is no package no_such_ops (--import): install it"),
        (["--import", "no_such_ops.of_mine"], "there is no package no_such_ops.of_mine"),
        (["--tags", "serve,gpu"], "the module has no tag set {gpu, serve}; it has {serve}"),
    ],
)
def test_a_package_or_graph_that_is_not_there_is_one_line(
    options: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(minimal_module(tmp_path / "m")), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert why in captured.err
    assert captured.err.count("\n") == 1


# --- Commands of other packages ------------------------------------------------------------------


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "other": "hub_tfx.cli.modules:resolve",
        "inspect": "no_such_package:inspect",
        "broken": "no_such_package:command",
    }
    points = {n: metadata.EntryPoint(n, v, "hub_tfx.commands") for n, v in values.items()}
    monkeypatch.setattr(main, "_entry_points", lambda: points)


@pytest.mark.usefixtures("entry_points")
def test_other_packages_add_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert "other" in out
    assert "Cannot be loaded." in out
    assert run(["other", "--help"]) == 0
    assert "HANDLE" in capsys.readouterr().out


@pytest.mark.usefixtures("entry_points")
def test_a_command_that_cannot_be_loaded_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["broken", "x", "--any"]) == 1
    err = capsys.readouterr().err
    assert "broken (no_such_package:command) cannot be loaded: No module named" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("entry_points")
def test_they_do_not_take_the_place_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--help"]) == 0
    assert "without running it" in capsys.readouterr().out


def test_the_help_is_light() -> None:
    code = (
        "import sys; from hub_tfx.cli.main import run; run(['--help']);"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'ml_metadata'} & sys.modules.keys();"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "check" in done.stdout
