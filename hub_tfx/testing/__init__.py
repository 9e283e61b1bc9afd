"""Helpers for tests, ours and yours: tiny real modules, and contract suites for extensions.

Modules that load and run, and where they come from::

    from hub_tfx import testing

    path = testing.text_module(tmp_path / "1")  # text_vectors() are its vectors
    path = testing.image_module(tmp_path / "2", format="saved_model")
    path = testing.minimal_module(tmp_path / "3")  # in a millisecond, without a graph
    with testing.serve({"/acme/text/1": path}) as url: ...
    ModuleCache(root, fetcher=testing.FakeFetcher({"fake://text/1": path}))

A contract suite says as tests what a protocol of ours promises. A reader, part file, fetcher,
trainer or repository of your own is tested by a subclass of its suite, which pytest collects::

    from hub_tfx.testing.readers import ReaderContract

    class TestMyReader(ReaderContract): ...

The suites are in ``readers``, ``writers``, ``fetchers``, ``trainers`` and ``repositories``, which
import pytest. This package itself imports neither pytest nor TensorFlow.
"""

from hub_tfx.testing.fake_fetcher import FakeFetcher
from hub_tfx.testing.modules import (
    WORDS,
    image_module,
    minimal_module,
    text_module,
    text_vectors,
)
from hub_tfx.testing.server import serve

__all__ = [
    "WORDS",
    "FakeFetcher",
    "image_module",
    "minimal_module",
    "serve",
    "text_module",
    "text_vectors",
]
