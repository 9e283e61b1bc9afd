"""Of several who create one file, one succeeds, where the filesystem can tell."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hub_tfx.data.filesystems import create_new


@pytest.fixture
def gcs(monkeypatch):
    """A store that speaks as much of Google Cloud Storage's JSON API as an upload needs."""
    stored, lock = {}, threading.Lock()

    class Store(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                is_refused = "ifGenerationMatch=0" in self.path and "x" in stored
                if not is_refused:
                    stored["x"] = body
            answer = json.dumps({"name": "x", "bucket": "b", "generation": "1"}).encode()
            self.send_response(412 if is_refused else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("localhost", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://localhost:{server.server_port}")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setattr(
        "apache_beam.internal.gcp.auth._Credentials._get_credentials_with_retrys", lambda _: None
    )
    yield stored
    server.shutdown()


def race(path):
    """How many of eight who write a file at one moment say that they did."""
    barrier, done = threading.Barrier(8), []

    def create(number):
        barrier.wait()
        done.append(create_new(path, str(number).encode()))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 8
    return sum(done)


def test_one_of_eight_creates_a_local_file(tmp_path):
    assert race(str(tmp_path / "x")) == 1
    assert len((tmp_path / "x").read_bytes()) == 1


def test_one_of_eight_creates_an_object_of_google_cloud_storage(gcs):
    assert race("gs://b/x") == 1


def test_a_filesystem_that_cannot_tell_writes_nothing():
    assert create_new("remote://x", b"") is None
