"""What shells offer at the Tab key."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from published import published

from hub_tfx.cli.complete import SHELLS, answer, end_in_time
from hub_tfx.cli.main import cli, run

BREAKS = " \t\n\"'@><=;|&(:"
"""What bash breaks words at, unless told otherwise."""
NNLM = "https://tfhub.dev/google/nnlm-en-dim128/2"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completed")
    published(folder, folder / "r", b"1", "acme/words", aliases=["stable"])
    published(folder, folder / "r", b"2", "acme/words")
    published(folder, folder / "r", b"3", "bob/code")
    return folder / "r"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that knows two handles, and much that cannot be offered."""
    records = tmp_path / "cache" / "hub_tfx" / "handles"
    records.mkdir(parents=True)
    known = [NNLM, "repo+s3://bucket/r//acme/far/3", "/home/ann/module", "https://h/$(reboot)", 3]
    for number, handle in enumerate(known):
        (records / f"{number}.json").write_text(json.dumps({"handle": handle, "digest": "x"}))
    (records / "damaged.json").write_text("{")
    (records / "list.json").write_text("[]")
    os.mkfifo(records / "fifo.json")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("_HUB_TFX_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDBREAKS", " ")
    monkeypatch.delenv("HUB_TFX_REPOSITORY", raising=False)
    return records


@pytest.fixture
def offers(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """What bash is offered for a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        lines = answer(cli, "bash_complete").split("\n")
        return [line.partition(",")[2] if "plain," in line else line for line in lines if line]

    return ask


def test_commands_and_options(offers) -> None:  # type: ignore[no-untyped-def]
    assert offers("hub-tfx sea") == ["search"]
    assert offers("hub-tfx search --so") == ["--sort"]
    assert offers("hub-tfx search --sort n") == ["newest", "name"]
    assert "search" in offers("hub-tfx ")


def test_handles_of_the_cache(offers) -> None:  # type: ignore[no-untyped-def]
    """Neither paths, for which there are files, nor what a shell would expand."""
    assert offers("hub-tfx resolve ") == [NNLM, "repo+s3://bucket/r//acme/far/3"]
    assert offers("hub-tfx inspect https://tf") == [NNLM]
    assert offers("hub-tfx cache export https://tf") == [NNLM]
    assert offers("hub-tfx embed --input x --module http") == [NNLM]
    assert offers("hub-tfx publish https") == [NNLM]
    assert offers("hub-tfx diff ./module https") == [NNLM]
    assert offers("hub-tfx run embed --module https") == [NNLM]
    assert offers("hub-tfx resolve ./mod") == ["file,./mod"]
    assert offers("hub-tfx resolve repo+s3") == ["repo+s3://bucket/r//acme/far/3"]


def test_names_of_a_repository(offers, repository: Path) -> None:  # type: ignore[no-untyped-def]
    begin = f"repo+{repository}//"
    assert offers(f"hub-tfx resolve {begin}") == [f"{begin}acme/words", f"{begin}bob/code"]
    assert offers(f"hub-tfx resolve {begin}b") == [f"{begin}bob/code"]
    whole = [f"{begin}acme/words{end}" for end in ("", "/2", "/1", "@stable", "@latest")]
    assert offers(f"hub-tfx resolve {begin}acme/words") == whole
    assert offers(f"hub-tfx resolve {begin}acme/words/") == whole[1:3]
    assert offers(f"hub-tfx resolve {begin}acme/words@s") == whole[3:4]
    assert offers(f"hub-tfx repo show --repository {repository} acme/words@") == [
        "acme/words@stable",
        "acme/words@latest",
    ]
    assert offers(f"hub-tfx repo yank --repository {repository} bob/code/") == ["bob/code/1"]
    assert offers(f"hub-tfx repo ls --repository {repository} b") == ["bob/code"]


def test_what_to_filter_by(  # type: ignore[no-untyped-def]
    offers, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offers("hub-tfx search --task text-emb") == ["text-embedding"]
    assert offers("hub-tfx search --format t") == ["tf1_hub"]
    assert offers("hub-tfx search --license a") == ["Apache-2.0"]
    assert offers("hub-tfx search --publisher ") == []
    monkeypatch.setenv("HUB_TFX_REPOSITORY", str(repository))
    assert offers("hub-tfx search --publisher ") == ["acme", "bob"]


@pytest.mark.parametrize(
    "line",
    [
        "hub-tfx resolve repo+s3://bucket/r//a",  # A bucket is not asked.
        "hub-tfx resolve repo+/nowhere//a",
        "hub-tfx resolve repo+//",
        "hub-tfx resolve repo+/dev/null//a/b/",
        "hub-tfx repo show a/../b/",
    ],
)
def test_what_is_wrong_gives_nothing(line: str, offers) -> None:  # type: ignore[no-untyped-def]
    assert offers(line) == []


def test_a_cache_that_is_not_there_gives_files(offers, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("TFHUB_CACHE_DIR", "/nowhere/cache")
    assert offers("hub-tfx resolve ") == ["file,"]
    monkeypatch.setenv("TFHUB_CACHE_DIR", "gs://not/a/disk")
    assert offers("hub-tfx resolve ") == ["file,"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("https", NNLM),
        ("https:", NNLM.removeprefix("https:")),
        ("https://tf", NNLM.removeprefix("https:")),
    ],
)
def test_bash_gets_what_comes_after_its_last_break(  # type: ignore[no-untyped-def]
    typed: str, offered: str, offers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMP_WORDBREAKS", BREAKS)
    assert offers(f"hub-tfx resolve {typed}") == [offered]


def test_bash_itself_completes(
    repository: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The script and the command together, as bash calls them."""
    monkeypatch.delenv("_HUB_TFX_COMPLETE")
    assert run(["completion", "bash"]) == 0
    command = tmp_path / "hub-tfx"
    command.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c 'from hub_tfx.cli.main import main; main()' \"$@\"\n"
    )
    command.chmod(0o755)
    asked = f"""{capsys.readouterr().out}
    ask() {{ COMP_LINE="$1" COMP_POINT=${{#1}}; _hub_tfx_completion "{command}"; }}
    ask 'hub-tfx inspect https://tfhub'; echo "${{COMPREPLY[@]}}"
    ask 'hub-tfx inspect repo+{repository}//acme/words@st'; echo "${{COMPREPLY[@]}}"
    complete -p hub-tfx
    """
    environment = {**os.environ, "COMP_WORDBREAKS": BREAKS}
    done = subprocess.run(
        ["bash", "--norc", "-c", asked], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    first, second, third = done.stdout.splitlines()
    assert first == NNLM.removeprefix("https:")
    assert second == "stable"
    assert third.endswith("-F _hub_tfx_completion hub-tfx")


def test_other_shells_get_the_script_of_click(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("_HUB_TFX_COMPLETE")
    for shell in SHELLS:
        assert run(["completion", shell]) == 0
        out = capsys.readouterr().out
        assert "_HUB_TFX_COMPLETE" in out
        assert f"{shell}_complete" in out
        assert answer(cli, f"{shell}_source").rstrip() == out.rstrip()
    assert answer(cli, "tcsh_source") == answer(cli, "bash_other") == ""
    assert run(["completion", "tcsh"]) == 2


def test_a_completion_that_takes_too_long_ends() -> None:
    child = os.fork()
    if not child:
        end_in_time(0.01)
        time.sleep(60)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from hub_tfx.cli.complete import answer; from hub_tfx.cli.main import cli;"
        "assert answer(cli, 'bash_complete');"
        "print({'tensorflow', 'tfx', 'apache_beam', 'requests', 'rich'} & sys.modules.keys())"
    )
    environment = {**os.environ, "COMP_LINE": "hub-tfx resolve h"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
