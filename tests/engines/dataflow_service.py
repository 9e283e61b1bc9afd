"""What answers as Dataflow does, and keeps the jobs that it is sent; it runs none of them."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSAL = "(a3f1): The workflow could not be created. Nothing runs here."


@dataclass(frozen=True)
class DataflowService:
    """The service.

    Attributes:
      endpoint: what ``--dataflow_endpoint`` takes.
      requests: the path of each request, and the job in it.
    """

    endpoint: str
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def dataflow_service() -> Iterator[DataflowService]:
    """A server that refuses each job once it has it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            service.requests.append((self.path, json.loads(body)))
            error = {"code": 400, "message": REFUSAL, "status": "FAILED_PRECONDITION"}
            answer = json.dumps({"error": error}).encode()
            self.send_response(400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("localhost", 0), Handler)
    # Beam takes a port at `localhost` only, and then differs in the kind of the workers' pool.
    service = DataflowService(f"http://localhost:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield service
    server.shutdown()
    server.server_close()
