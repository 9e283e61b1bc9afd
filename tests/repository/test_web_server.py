"""Published versions, loaded by unmodified TensorFlow Hub from a static web server."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from ports import free_port, wait_for
from published import card

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.layout import ARCHIVE
from hub_tfx.repository.publish import publish
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import WORDS, serve, text_vectors

DOCS = Path(__file__).parents[2] / "docs" / "publishing.md"


@pytest.fixture
def repository(tmp_path: Path, text_module_dir: Path) -> Path:
    """A repository with one version, in each format."""
    module = ResolvedModule.of_directory(text_module_dir)
    publish(module, tmp_path / "modules", "acme/words", card=card(tmp_path))
    return tmp_path / "modules"


@pytest.fixture(params=["stand-in", pytest.param("nginx", marks=pytest.mark.engines)])
def url(repository: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a server of the repository."""
    if request.param == "stand-in":
        with serve({"/acme/words/1": repository / "acme/words/1" / ARCHIVE}) as address:
            yield address
        return
    if (nginx := shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")) is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(_config(repository, tmp_path, port))
    command = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    running = subprocess.Popen([*command, "-e", "stderr"], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(port, running)
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.communicate()


def _config(repository: Path, folder: Path, port: int) -> str:
    """What docs/publishing.md gives, with this port and this repository."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    ours = found[1].replace("listen 8080;", f"listen 127.0.0.1:{port};")
    ours = ours.replace("root /srv/modules;", f"root {repository};")
    user = "user root;\n" if os.geteuid() == 0 else ""  # Others may not read a folder of a test.
    main = f"{user}daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    return f"{main}http {{\naccess_log off;\nclient_body_temp_path {folder}/body;\n{ours}}}\n"


def test_tensorflow_hub_loads_a_published_version(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    layer = hub.KerasLayer(f"{url}/acme/words/1")
    vectors = layer(tf.constant(WORDS)).numpy()
    np.testing.assert_allclose(vectors, np.asarray(text_vectors()), atol=1e-6)


def test_our_own_cache_resolves_the_same_url(url: str, repository: Path, tmp_path: Path) -> None:
    served = ModuleCache(tmp_path / "cache").resolve(f"{url}/acme/words/1")
    here = ModuleCache(tmp_path / "cache").resolve(f"repo+{repository}//acme/words")
    assert served.digest == here.digest
