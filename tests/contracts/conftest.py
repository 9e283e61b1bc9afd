"""Real endpoints of object stores on the loopback, for whatever reaches a bucket."""

import subprocess
from collections.abc import Iterator

import pytest
from built import ROOT, require
from ports import free_port, wait_for


@pytest.fixture(scope="package")
def s3() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="package")
def gcs() -> Iterator[str]:
    program = require(ROOT / ".tools" / "fake-gcs-server")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [program, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]
    options = ["-port", str(port), "-public-host", f"127.0.0.1:{port}", "-external-url", url]
    with subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL) as running:
        try:
            wait_for(port, running)
            yield url
        finally:
            running.terminate()
