"""Without a network: nothing is asked, what is there is found, and what is missing is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cards import write_card

from hub_tfx.cli.main import run
from hub_tfx.errors import FetchError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.publish import publish
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher

HANDLE = "https://hub.test/acme/text/1"


@pytest.fixture
def root(tmp_path: Path, module_dir: Path) -> Path:
    ModuleCache(tmp_path / "cache", fetcher=FakeFetcher({HANDLE: module_dir})).resolve(HANDLE)
    return tmp_path / "cache"


_WATCHED = """
import sys
def watch(event, _):
    if event.startswith("socket."):
        raise SystemExit(f"{event} while offline")
from hub_tfx.cli.main import run
sys.addaudithook(watch)
for handle in sys.argv[2:]:
    print(run(["resolve", "-q", handle, "--offline", "--cache-dir", sys.argv[1]]), flush=True)
"""
MISSING = [
    "https://hub.test/other",
    "http://127.0.0.1/m.tar.gz",
    "repo+s3://bucket/modules//acme/words/3",
    "repo+gs://bucket/modules//acme/words@stable",
]


def test_no_socket_is_opened(root: Path, module_dir: Path) -> None:
    """An audit hook ends the process that makes a socket or looks a name up."""
    command = [sys.executable, "-c", _WATCHED, str(root), HANDLE, str(module_dir), *MISSING]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "while offline" not in done.stderr + done.stdout
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.split() if line in "0125"] == ["0", "0", *"1111"]
    for handle, line in zip(MISSING, done.stderr.splitlines(), strict=True):
        assert line.startswith(f"hub-tfx: error: {handle}: only the cache {root} may be used")
        assert "where it is not" in line


def test_the_variable_and_the_option_are_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["resolve", "https://hub.test/other", "--cache-dir", str(root)]
    monkeypatch.delenv("HUB_TFX_OFFLINE", raising=False)
    assert run([*arguments, "--offline"]) == 1
    assert "HUB_TFX_OFFLINE or --offline" in capsys.readouterr().err
    assert "HUB_TFX_OFFLINE" not in os.environ
    monkeypatch.setenv("HUB_TFX_OFFLINE", "1")
    assert run(arguments) == 1
    assert "HUB_TFX_OFFLINE or --offline" in capsys.readouterr().err


def test_a_damaged_module_is_an_error(root: Path, module_dir: Path) -> None:
    cache = ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir}), offline=True)
    module = cache.resolve(HANDLE)
    weights = module.path / "variables" / "variables.index"
    weights.write_bytes(weights.read_bytes()[::-1])
    with pytest.raises(
        FetchError, match=r"where it is damaged \(variables/variables.index does not"
    ):
        cache.resolve(HANDLE, digest=module.digest)
    assert module.path.is_dir(), "it stays, for whoever wants to look at it"


def test_new_bytes_cannot_be_looked_for(root: Path, module_dir: Path) -> None:
    cache = ModuleCache(root, fetcher=FakeFetcher({HANDLE: module_dir}), offline=True)
    with pytest.raises(FetchError, match="whether its bytes have changed"):
        cache.resolve(HANDLE, new_bytes="follow")


def test_a_repository_of_this_machine_is_read(root: Path, module_dir: Path, tmp_path: Path) -> None:
    module, repository = ResolvedModule.of_directory(module_dir), tmp_path / "repository"
    publish(module, repository, "acme/words", card=write_card(tmp_path), aliases=["stable"])
    cache = ModuleCache(root, offline=True)
    assert cache.resolve(f"repo+{repository}//acme/words@stable").digest == module.digest
