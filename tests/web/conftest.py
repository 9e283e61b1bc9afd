"""A repository with a little of everything, and a server of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_repository import make_demo
from hubs import serving
from published import published
from serving import client_of, opened_site
from starlette.testclient import TestClient

from hub_tfx.repository.changes import set_alias, set_yanked
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage

WORDS = ModuleName("acme", "words")


@pytest.fixture(scope="package")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """acme/words 1 (yanked), 2 (stable, with a TensorFlow Lite variant) and 3; acme/bare without
    an archive."""
    folder = tmp_path_factory.mktemp("hub")
    root = folder / "modules"
    lite = folder / "model.tflite"
    lite.write_bytes(b"TFL3" * 100)
    published(folder, root, b"one")
    published(folder, root, b"two", beside={"variants/tflite/model.tflite": lite})
    published(folder, root, b"three" * 1000)
    published(folder, root, b"bare", "acme/bare", archive=False)
    storage = open_storage(root)
    set_alias(storage, WORDS, "stable", 2, "better")
    set_yanked(storage, WORDS, 1, "trained on the test rows")
    return root


@pytest.fixture(scope="package")
def url(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server of it that everybody may read."""
    with serving(repository, tmp_path_factory.mktemp("index") / "index.sqlite") as address:
        yield address


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
