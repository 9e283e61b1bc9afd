"""`hub-tfx serve`, as a person or systemd starts it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hubs import COMPRESSED, ask
from published import published

from hub_tfx.cli.main import run
from hub_tfx.web.server import listen


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command, once it has printed its URL."""
    command = [sys.executable, "-c", "from hub_tfx.cli.main import main; main()", "serve"]
    environment = {**os.environ, "TFHUB_CACHE_DIR": str(folder / "cache")}
    process = subprocess.Popen(
        [*command, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def test_it_serves_until_it_is_told_to_stop_and_loses_nothing_when_killed(tmp_path: Path) -> None:
    root, log = tmp_path / "modules", tmp_path / "access.log"
    published(tmp_path, root, b"one")
    options = ("--repository", str(root), "--access-log", str(log))
    with started(*options, folder=tmp_path) as (process, url):
        answer = ask(url, f"/acme/words/1?{COMPRESSED}")
        assert answer.status == 200
        process.kill()  # Its parent; the server dies with it.
        process.wait()
    with started(*options, folder=tmp_path) as (process, url):
        while ask(url, "/-/readyz").status != 200:
            pass
        assert ask(url, f"/acme/words/1?{COMPRESSED}").body == answer.body
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.splitlines() == [
        f"hub-tfx: serves {root}; stop it by Ctrl-C",
        "hub-tfx: stopped",
    ]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["path"] == "/acme/words/1"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command that does not come to serve, and what it says."""
    code = run(["serve", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return code, err.removeprefix("hub-tfx: error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--allow-publish"], "--allow-publish needs --token-env"),
        (["--token-env", "HUB_NONE"], "the environment variable HUB_NONE is not set"),
        (["--token-env", "HUB_SHORT"], "the environment variable HUB_SHORT holds no token"),
        (["--cors-origin", "example.org"], "--cors-origin 'example.org' is not an origin"),
        (["--public-url", "https://x/y"], "--public-url 'https://x/y' is not a URL of a server"),
        (["--accel-prefix", "x y"], "--accel-prefix 'x y' is not a path"),
        (
            ["--metadata", "mysql://u:secret@h/d"],
            "the place of ML Metadata is wrong: its URL holds",
        ),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_options_that_make_no_sense(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HUB_SHORT", "secret")
    published(tmp_path, tmp_path / "modules", b"one")
    code, err = fails(capsys, "--repository", str(tmp_path / "modules"), *arguments)
    assert code == 2
    assert err.startswith(told)
    assert "secret" not in err


def test_a_place_that_is_not_a_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = fails(capsys, "--repository", str(tmp_path))
    assert (code, err.partition(": ")[0]) == (1, f"{tmp_path} is not a repository")


def test_an_address_that_is_taken_or_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    published(tmp_path, tmp_path / "modules", b"one")
    options = ("--repository", str(tmp_path / "modules"))
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        code, err = fails(capsys, *options, "--port", port)
        assert code == 1
        assert err.startswith(f"127.0.0.1:{port} cannot be listened on: Address already in use; ")
    assert fails(capsys, *options, "--host", "no.such.host.invalid")[0] == 1


@pytest.mark.parametrize("kind", ["a FIFO", "a directory"])
def test_an_access_log_that_is_odd(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    published(tmp_path, tmp_path / "modules", b"one")
    odd = tmp_path / "odd"
    os.mkfifo(odd) if kind == "a FIFO" else odd.mkdir()
    options = ("--repository", str(tmp_path / "modules"), "--access-log", str(odd))
    code, err = fails(capsys, *options)
    assert code == 1
    assert err.startswith(f"the access log {odd} cannot be written: it is {kind}, not a file")
