"""What tests of pages share: a site of a repository, asked without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from hub_tfx.repository.catalogue import Catalogue
from hub_tfx.repository.storage import Storage
from hub_tfx.web.app import create_app
from hub_tfx.web.site import Site

SERVER = "http://hub.example.org"


@contextmanager
def opened_site(storage: Storage, folder: Path, **more: Any) -> Iterator[Site]:
    """The site of a repository, with its index up to date."""
    with Catalogue.open(storage, folder / "index.sqlite") as catalogue:
        catalogue.refresh()
        yield Site(storage, catalogue, **more)


def client_of(site: Site) -> TestClient:
    """A client of a site's application, which does not follow redirects."""
    return TestClient(create_app(site), SERVER, follow_redirects=False)
