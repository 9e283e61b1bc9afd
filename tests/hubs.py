"""Servers of repositories, as `hub-tfx serve` runs them, in a thread of the test."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub_tfx.repository.catalogue import Catalogue
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.web.access_log import AccessLog
from hub_tfx.web.app import create_app
from hub_tfx.web.server import listen, server_of, url_of
from hub_tfx.web.site import ServeOptions, Site

COMPRESSED = "tf-hub-format=compressed"


@dataclass(frozen=True)
class Answer:
    """What a server answered; the names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@contextmanager
def serving(
    repository: Path | Storage, index: Path, access_log: Path | None = None, **options: Any
) -> Iterator[str]:
    """URL of a server of a repository."""
    storage = open_storage(repository) if isinstance(repository, Path) else repository
    log = None if access_log is None else AccessLog.at(str(access_log))
    ready = threading.Event()
    with Catalogue.open(storage, index) as catalogue:
        catalogue.refresh() if storage.names("-") else None
        site = Site(storage, catalogue, None, ServeOptions(**options))
        listening = listen("127.0.0.1", 0)
        url = url_of(listening, "127.0.0.1")
        server = server_of(create_app(site, log), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(30)
            yield url
        finally:
            server.should_exit = True
            thread.join()
            if log is not None:
                log.close()


def ask(url: str, path: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """Sends a request as it is written; ``_`` in names of headers stands for ``-``."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, told, answer.read())
    finally:
        connection.close()
