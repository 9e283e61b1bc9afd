"""Beam's Prism, and workers in another process that can import nothing but the wheel."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from built import ROOT, require
from elsewhere import elsewhere
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
    """Beam's worker pool, in a network namespace of its own where that is allowed.

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
        started = [int(word) for path in threads for word in path.read_text().split()]
        # The other child is what passes on the calls of a namespace.
        return [i for i in started if b"SdkHarness" in Path(f"/proc/{i}/cmdline").read_bytes()]


@pytest.fixture(scope="session")
def worker_pool(
    prism: Path,
    bucket: dict[str, str],
    worker_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WorkerPool]:
    """A Prism that waits for jobs, and the pool that it gets its workers from.

    The pool reaches Prism and the bucket, and nothing else.
    """
    folder = tmp_path_factory.mktemp("pool")
    served, (job_port, bucket_port) = free_port(), [free_port(), _port_of(bucket)]
    serve = [str(prism), f"-job_port={job_port}", "-serve_http=false", "-log_kind=json"]
    pool = ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
    with (
        running(serve, folder / "prism.log") as engine,
        elsewhere(
            folder, [job_port, bucket_port], [served], [*pool, f"--service_port={served}"]
        ) as command,
        running(command, folder / "pool.log", cwd=folder, env=worker_environment) as workers,
    ):
        _wait_for(job_port, engine, folder / "prism.log")
        _wait_for(served, workers, folder / "pool.log")
        options = (
            "--runner=PortableRunner",
            f"--job_endpoint=localhost:{job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config=localhost:{served}",
        )
        yield WorkerPool(workers.pid, options, folder / "pool.log")


def _port_of(bucket: dict[str, str]) -> int:
    return int(bucket["STORAGE_EMULATOR_HOST"].rpartition(":")[2])


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when a server of gRPC answers; a bridge accepts calls before there is one."""
    deadline_s = time.monotonic() + _START_S
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        ready = grpc.channel_ready_future(channel)
        while not ready.done():
            if process.poll() is not None or time.monotonic() > deadline_s:
                pytest.fail(f"{process.args} did not start:\n{log.read_text()}")
            time.sleep(0.05)


@pytest.fixture(scope="session")
def module_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text module; one format is enough where the engine is what is tested."""
    return text_module(tmp_path_factory.mktemp("module") / "1", "saved_model")
