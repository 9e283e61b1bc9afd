"""TF Hub with our resolver in front of its own, and modules on a server of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_tfx.drop_in.resolver import install_resolver
from hub_tfx.testing import minimal_module


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("HUB_TFX_LOCK_FILE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def installed() -> Iterator[None]:
    with install_resolver():
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return minimal_module(tmp_path / "source")
