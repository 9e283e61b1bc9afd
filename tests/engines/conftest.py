"""Beam's Prism, and workers in another process that can import nothing but the wheel."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from built import ROOT, require
from gcp_storage_emulator.server import create_server
from ports import free_port

from hub_tfx.testing import text_module

PRISM = ROOT / ".tools" / "prism"
WORKER_BIN = ROOT / ".venv-worker" / "bin"
PACKAGES = {"hub_tfx": "hub_tfx", "pipelines": "hub_tfx_pipelines", "kubeflow": "hub_tfx_kubeflow"}
_START_S = 120.0


@pytest.fixture(scope="session")
def prism() -> Path:
    """The binary of Beam's portable engine."""
    return require(PRISM)


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables under which `gs://acme` is a bucket of this machine that believes who we are."""
    account = tmp_path_factory.mktemp("account") / "account.json"
    never = {"token": "x", "expiry": "2999-01-01T00:00:00", "refresh_token": "x"}
    client = {"type": "authorized_user", "client_id": "x", "client_secret": "x"}
    account.write_text(json.dumps(client | never))
    port = free_port()
    variables = {
        "STORAGE_EMULATOR_HOST": f"http://localhost:{port}",
        "GOOGLE_APPLICATION_CREDENTIALS": str(account),
        "GOOGLE_CLOUD_PROJECT": "acme",
    }
    server = create_server("localhost", port, in_memory=True, default_bucket="acme")
    with server, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="session")
def worker_environment(
    bucket: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Variables under which `python` is that of .venv-worker, which has the wheel of this tree."""
    python = require(WORKER_BIN / "python")
    (installed,) = python.parents[1].glob("lib/python3*/site-packages")
    for source, name in PACKAGES.items():
        differing = {path for path, _ in _sources(ROOT / source) ^ _sources(installed / name)}
        assert not differing, f".venv-worker is not of this tree, run `make engines`: {differing}"
    return {
        "PATH": f"{WORKER_BIN}:/usr/bin:/bin",
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **bucket,
    }


def _sources(folder: Path) -> set[tuple[Path, bytes]]:
    return {(path.relative_to(folder), path.read_bytes()) for path in folder.rglob("*.py")}


@contextmanager
def running(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose output goes to a file; it and all that it started end with the context."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@dataclass(frozen=True)
class WorkerPool:
    """Beam's worker pool in a process of its own.

    Attributes:
      process_id: of the pool; its workers are the children.
      options: of Beam, for a job on Prism with workers of this pool.
      log: what the pool and its workers print.
    """

    process_id: int
    options: tuple[str, ...]
    log: Path

    def worker_ids(self) -> list[int]:
        """Ids of the worker processes."""
        children = Path(f"/proc/{self.process_id}/task/{self.process_id}/children")
        threads = children.parents[1].glob("*/children")
        return [int(word) for path in threads for word in path.read_text().split()]


@pytest.fixture(scope="module")
def worker_pool(
    prism: Path, worker_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerPool]:
    """A Prism that waits for jobs, and the pool that it gets its workers from."""
    folder = tmp_path_factory.mktemp("pool")
    port = free_port()
    pool = ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
    with (
        running(
            [str(prism), "-job_port=0", "-serve_http=false", "-log_kind=json"], folder / "prism.log"
        ) as engine,
        running(
            [*pool, f"--service_port={port}"],
            folder / "pool.log",
            cwd=folder,
            env=worker_environment,
        ) as workers,
    ):
        endpoint = _wait_for(lambda: _endpoint(folder / "prism.log"), engine, folder / "prism.log")
        _wait_for(lambda: _accepts(port), workers, folder / "pool.log")
        options = (
            "--runner=PortableRunner",
            f"--job_endpoint={endpoint}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{port}",
        )
        yield WorkerPool(workers.pid, options, folder / "pool.log")


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


def _endpoint(log: Path) -> str:
    said = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    return next((str(line["endpoint"]) for line in said if "endpoint" in line), "")


def _wait_for(ready, process: subprocess.Popen[bytes], log: Path):
    deadline_s = time.monotonic() + _START_S
    while not (found := ready()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            pytest.fail(f"{process.args} did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def module_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text module; one format is enough where the engine is what is tested."""
    return text_module(tmp_path_factory.mktemp("module") / "1", "saved_model")
