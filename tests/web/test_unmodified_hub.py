"""tensorflow_hub 0.15, as it is installed, against a server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from hubs import COMPRESSED, ask, serving
from published import card, published
from tensorflow_hub.uncompressed_module_resolver import HttpUncompressedFileResolver

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.buckets import BucketStorage
from hub_tfx.repository.layout import ARCHIVE
from hub_tfx.repository.publish import publish
from hub_tfx.repository.storage import open_storage
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import WORDS, text_vectors


@pytest.fixture(scope="module")
def served(
    text_module_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """A repository with one version, in each format, and the URL of its server."""
    folder = tmp_path_factory.mktemp("served")
    root = folder / "modules"
    module = ResolvedModule.of_directory(text_module_dir)
    publish(module, root, "acme/words", card=card(folder), aliases=["stable"])
    with serving(root, folder / "index") as address:
        yield root, address


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    return tmp_path / "tfhub"


def check(vectors: Any) -> None:
    np.testing.assert_allclose(np.asarray(vectors), np.asarray(text_vectors()), atol=1e-6)


@pytest.mark.parametrize("reference", ["acme/words/1", "acme/words", "acme/words@stable"])
def test_a_keras_layer(reference: str, served: tuple[Path, str]) -> None:
    check(hub.KerasLayer(f"{served[1]}/{reference}")(tf.constant(WORDS)))


def test_load(served: tuple[Path, str]) -> None:
    loaded = hub.load(f"{served[1]}/acme/words/1")
    if callable(loaded):
        check(loaded(tf.constant(WORDS)))
    else:
        check(loaded.signatures["default"](tf.constant(WORDS))["default"])


def test_a_module_of_tensorflow_1(served: tuple[Path, str], module_format: str) -> None:
    if module_format != "tf1_hub":
        pytest.skip("hub.Module takes TF1 hub modules only")
    with tf.Graph().as_default():
        vectors = hub.Module(f"{served[1]}/acme/words/1")(WORDS)
        initialize = [tf.compat.v1.global_variables_initializer()]
        with tf.compat.v1.Session() as session:
            session.run([*initialize, tf.compat.v1.tables_initializer()])
            check(session.run(vectors))


def test_a_module_that_our_own_cache_resolved(served: tuple[Path, str], cache: Path) -> None:
    root, url = served
    resolved = ModuleCache(cache).resolve(f"{url}/acme/words@stable")
    assert resolved.digest == ModuleCache(cache).resolve(f"repo+{root}//acme/words/1").digest
    check(hub.KerasLayer(str(resolved.path))(tf.constant(WORDS)))


def test_what_is_not_there_is_an_error_of_the_status(served: tuple[Path, str]) -> None:
    with pytest.raises(Exception, match="404"):
        hub.load(f"{served[1]}/acme/words/7")


def test_the_place_in_google_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tensorflow_hub reads the body of the 303, and nothing else of it."""

    class InMemory(BucketStorage):
        """A bucket that is called as one of Google's."""

        def __init__(self, url: str):
            super().__init__(f"memory://{tmp_path.name}/modules")
            self.url = url

    monkeypatch.setattr("hub_tfx.repository.buckets.BucketStorage", InMemory)
    published(tmp_path, "gs://acme/modules", b"one")
    storage = open_storage("gs://acme/modules")
    assert storage.read("acme/words/1/module/saved_model.pb")
    with serving(storage, tmp_path / "index") as address:
        resolver: Any = HttpUncompressedFileResolver()
        asked = f"{address}/acme/words/1?tf-hub-format=uncompressed"
        assert resolver._request_gcs_location(asked) == "gs://acme/modules/acme/words/1/module"
        archive = ask(address, f"/acme/words/1?{COMPRESSED}")
        assert archive.body == storage.read(f"acme/words/1/{ARCHIVE}")
        part = ask(address, f"/acme/words/1?{COMPRESSED}", Range="bytes=5-8")
        assert part.body == archive.body[5:9]
