"""A repository that tests of pages read and do not change."""

from collections.abc import Iterator

import pytest
from demo_repository import make_demo
from serving import client_of, opened_site
from starlette.testclient import TestClient

from hub_tfx.repository.storage import Storage


@pytest.fixture(scope="session")
def demo_storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """See ``demo_repository``."""
    return make_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="session")
def demo_client(
    demo_storage: Storage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    """A client of the server of that repository."""
    with opened_site(demo_storage, tmp_path_factory.mktemp("index")) as site:
        yield client_of(site)
