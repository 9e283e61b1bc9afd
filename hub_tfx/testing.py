"""Tiny real modules for tests, ours and yours. Everything heavy is imported when it is used."""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hub_tfx.errors import FetchError
from hub_tfx.module.files import SAVED_MODEL
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.store.archive import SUFFIXES, pack
from hub_tfx.store.fetch.local import copy_files

WORDS = ("the", "cat", "dog", "sat", "on", "mat", "hello", "world")


def text_module(
    path: str | os.PathLike[str],
    format: ModuleFormat = "tf1_hub",
    dim: int = 4,
    vocabulary: Sequence[str] = WORDS,
) -> Path:
    """Exports a text embedding module, in a second, and returns its path.

    Its vectors are random but the same every time: ``text_vectors(vocabulary, dim)``.
    """
    from hub_tfx.module.create import text_embedding_module

    vectors = text_vectors(vocabulary, dim)
    return text_embedding_module(vocabulary, vectors, path, format=format).path


def text_vectors(vocabulary: Sequence[str] = WORDS, dim: int = 4) -> list[list[float]]:
    """``[len(vocabulary), dim]``: the vectors of ``text_module``."""
    import numpy as np

    numbers = np.random.default_rng(0).normal(size=(len(vocabulary), dim))
    vectors: list[list[float]] = numbers.astype(np.float32).tolist()
    return vectors


def image_module(
    path: str | os.PathLike[str], format: ModuleFormat = "tf1_hub", size: int = 8, dim: int = 4
) -> Path:
    """Exports an image feature module of ``size`` x ``size`` pixels, and returns its path.

    It has what the real ones have: convolution, batch normalization, dropout, a weight loss.
    """
    import tensorflow as tf

    from hub_tfx.module.create import image_feature_module
    from hub_tfx.module.create.export import eagerly

    layers = tf.keras.layers

    def weights(seed: int) -> tf.keras.initializers.Initializer:
        return tf.keras.initializers.GlorotUniform(seed)

    with eagerly():
        model = tf.keras.Sequential(
            [
                layers.Input([size, size, 3]),
                layers.Conv2D(
                    dim, 3, kernel_initializer=weights(1), kernel_regularizer="l2", name="conv"
                ),
                layers.BatchNormalization(name="norm"),
                layers.Dropout(0.5, name="drop"),
                layers.GlobalAveragePooling2D(name="pool"),
                layers.Dense(dim, kernel_initializer=weights(2), name="features"),
            ]
        )
    return image_feature_module(model, path, format=format).path


def minimal_module(path: str | os.PathLike[str], dim: int = 4) -> Path:
    """Writes the least that passes for a text module, in a millisecond, and returns its path.

    It has a signature (string ``[batch]`` -> float32 ``[batch, dim]``) and no graph behind it: for
    tests that move modules about and never run them.
    """
    from tensorboard.compat.proto import types_pb2

    from hub_tfx.module.proto import saved_model_class

    saved_model: Any = saved_model_class()(saved_model_schema_version=1)
    graph = saved_model.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    signature = graph.signature_def["serving_default"]
    text, vectors = signature.inputs["text"], signature.outputs["default"]
    text.name, text.dtype = "text:0", types_pb2.DT_STRING
    text.tensor_shape.dim.add(size=-1)
    vectors.name, vectors.dtype = "vectors:0", types_pb2.DT_FLOAT
    for size in (-1, dim):
        vectors.tensor_shape.dim.add(size=size)
    path = Path(path)
    (path / "variables").mkdir(parents=True)
    (path / SAVED_MODEL).write_bytes(saved_model.SerializeToString(deterministic=True))
    (path / "variables" / "variables.index").write_bytes(b"no variables")
    return path


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


class FakeFetcher:
    """Fetches from a dict of handle -> directory: ``ModuleCache(root, fetcher=FakeFetcher(…))``.

    Attributes:
      calls: the handles that were asked for, in order.
    """

    def __init__(self, modules: Mapping[str, str | os.PathLike[str]]):
        self._modules = {ModuleHandle.parse(handle): Path(p) for handle, p in modules.items()}
        self.calls: list[ModuleHandle] = []

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        self.calls.append(handle)
        if handle not in self._modules:
            raise FetchError(f"{handle}: this fake has no such module")
        copy_files(self._modules[handle], into)


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
