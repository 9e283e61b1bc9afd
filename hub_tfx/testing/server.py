"""A server on this machine that hosts modules as TF Hub's protocol wants it."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from hub_tfx.store.archive import SUFFIXES, pack


@contextmanager
def serve(modules: Mapping[str, str | os.PathLike[str]]) -> Iterator[str]:
    """A server on this machine that hosts modules as TF Hub's compressed protocol wants it.

    Args:
      modules: path of the URL -> directory of a module, or an archive, which is sent as it is.

    Yields:
      Its base URL: ``with serve({"/acme/text/1": path}) as url: hub.load(f"{url}/acme/text/1")``.
    """
    with tempfile.TemporaryDirectory() as folder:
        archives: dict[str, Path] = {}
        for number, (url_path, source) in enumerate(modules.items()):
            archive = Path(source)
            if archive.is_dir():
                archive = Path(folder, f"{number}.tar.gz")
                pack(source, archive)
            archives["/" + url_path.strip("/")] = archive
        server = _ModuleServer(archives)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _ModuleServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, archives: Mapping[str, Path]):
        super().__init__(("127.0.0.1", 0), _ModuleRequestHandler)
        self.archives = archives


class _ModuleRequestHandler(BaseHTTPRequestHandler):
    server: _ModuleServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        archive = self.server.archives.get(parts.path.rstrip("/"))
        if archive is None:
            self.send_error(404)
        elif "tf-hub-format=compressed" in parts.query or parts.path.endswith(SUFFIXES):
            self._send_file(archive)
        else:
            self._send_page()

    def _send_file(self, archive: Path) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(archive.stat().st_size))
        self.end_headers()
        with archive.open("rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def _send_page(self) -> None:
        """What people see at the same URL."""
        page = b"<!DOCTYPE html><title>A module</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        pass
