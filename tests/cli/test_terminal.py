"""What modules, files and servers call things cannot steer a terminal; URLs stay what they are."""

import ast
import re
from pathlib import Path

import click
import pytest

import hub_tfx.cli
import hub_tfx_kubeflow
import hub_tfx_pipelines
from hub_tfx.cli import output
from hub_tfx.cli.main import run, run_command
from hub_tfx.errors import HubTfxError
from hub_tfx.testing import text_module
from hub_tfx.testing.remote import RemoteFileSystem

STEERING = "\x1b]0;title\x07\x1b[2J\x9b2J\r\u202e[bold]x[/bold]\x00"


def test_one_file_prints() -> None:
    """And it makes all of it printable; see the tests below."""
    printing = set()
    for package in (hub_tfx.cli, hub_tfx_pipelines, hub_tfx_kubeflow):
        for path in Path(str(package.__file__)).parent.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _prints(node):
                    printing.add(path.name)
    assert printing == {"output.py"}


def _prints(call: ast.Call) -> bool:
    if ast.unparse(call) == "os.write(writes, b'1')":  # The guard's pipe, see cli/guard.py.
        return False
    names = (
        r"(click\.)?(secho|echo)|print|pprint|sys\.std(out|err)\.write|(rich\..*)?Console|os\.write"
    )
    return re.fullmatch(names, ast.unparse(call.func)) is not None


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_that_is_printed_steers_a_terminal(
    is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    output.tell(STEERING)
    output.print_text(f"{STEERING}\n{STEERING}")
    output.print_table((STEERING, "x"), [(STEERING, STEERING)])
    output.print_table(("x", STEERING), [("x", STEERING)], below=(STEERING,))
    output.print_fields({STEERING: STEERING})
    output.print_json({STEERING: STEERING})
    line = output.ProgressLine("x")
    line.show(STEERING)
    if is_terminal:
        output.print_path(STEERING)
    out, err = capsys.readouterr()
    assert not re.search(
        "[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]|\x1b(?!\\[[0-9;]*m)", out + err
    )
    assert out.count("x1b]0;title") + out.count("u001b]0;title") >= 6 + 2 * is_terminal - 1
    assert "[bold]x[/bold]" in err


def test_a_message_is_one_line_that_ends(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def fail() -> None:
        raise HubTfxError(f"the server answered 404 {STEERING}\n" + "x" * 1_000_000)

    assert run_command(fail, [], "fail") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert len(err) < 5000
    assert "\x1b" not in err


SPOILED = re.compile(r"\b\w+:/(?!/)\w")
"""What a Path makes of a URL."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "text-embedding", "--vectors", "gs://b/v.txt", "--output", "o"],
        ["create", "text-embedding", "--vectors", "{vectors}", "--output", "gs://b/o"],
        ["resolve", "ftp://b/module"],
        ["resolve", "{module}", "--cache-dir", "gs://b/cache"],
        ["check", "ftp://b/module"],
        ["lineage", "abcd", "--metadata", "gs://b/m.sqlite"],
        ["embed", "--module", "{module}", "--input", "remote://none.csv", "--output", "o"],
        ["embed", "--module", "ftp://b/m", "--input", "a.csv", "--output", "o"],
    ],
)
def test_a_url_in_a_message_is_what_was_typed(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from hub_tfx.testing import minimal_module

    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.txt").write_text("cat 1 2\n")
    module = minimal_module(tmp_path / "module")
    given = [a.format(vectors=tmp_path / "v.txt", module=module) for a in arguments]
    with RemoteFileSystem.at(tmp_path):
        assert run(given) != 0
    out, err = capsys.readouterr()
    (url,) = (a for a in arguments if "://" in a)
    assert url in err
    assert not SPOILED.search(out + err)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(":")]


def test_an_output_elsewhere_is_named_as_it_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    module = text_module(tmp_path / "module")
    (tmp_path / "in.jsonl").write_text('{"text": "cat"}\n{"text": 5}\n')
    with RemoteFileSystem.at(tmp_path / "bucket"):
        command = ["embed", "--module", str(module), "--input", "in.jsonl"]
        assert run([*command, "--output", "remote://out/", "--report"]) == 0
    out, err = capsys.readouterr()
    assert "see remote://out/dead_letters" in err
    assert not SPOILED.search(out + err)
