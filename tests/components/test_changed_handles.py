"""ModuleResolver in runs of TFX, whose cache is asked for what a handle stands for now."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx

from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_resolver.driver import Driver
from hub_tfx.components.remote_state import without_driver
from hub_tfx.errors import DigestMismatchError
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.store import open_store
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.testing import minimal_module, serve
from hub_tfx_pipelines.local_runner import LocalRunner


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return minimal_module(tmp_path / "source")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs a pipeline of one ModuleResolver; the states of the executions of all runs so far."""
    connection = Connection.sqlite(str(tmp_path / "metadata.sqlite"))

    def run_once(*arguments: Any, **parameters: Any) -> list[str]:
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="changed",
            pipeline_root=str(tmp_path / "root"),
            components=[ModuleResolver(*arguments, **parameters)],
            metadata_connection_config=connection.config(),
            enable_cache=True,
        )
        LocalRunner(connection).run(pipeline)
        executions = open_store(connection).get_executions()
        return [type(e).State.Name(e.last_known_state) for e in executions]

    return run_once


def change(module: Path) -> str:
    (module / "new.txt").write_text("new")
    return Manifest.of_directory(module).digest


def digests(root: Path) -> list[str]:
    found = sorted((root / "ModuleResolver" / "module").iterdir(), key=lambda path: int(path.name))
    return [Manifest.of_directory(path / "module").digest for path in found]


def test_a_directory_that_has_changed_is_resolved_again(
    tmp_path: Path, module: Path, run: Callable[..., list[str]]
) -> None:
    first = Manifest.of_directory(module).digest
    run(str(module))
    assert run(str(module)) == ["COMPLETE", "CACHED"]
    second = change(module)
    assert run(str(module)) == ["COMPLETE", "CACHED", "COMPLETE"]
    assert digests(tmp_path / "root") == [first, second]


def test_new_bytes_at_a_url_are_refused_or_followed(
    tmp_path: Path, module: Path, run: Callable[..., list[str]]
) -> None:
    archive = tmp_path / "module.tar.gz"
    pack(module, archive)
    with serve({"/module.tar.gz": archive}) as server:
        url = f"{server}/module.tar.gz"
        run(url, new_bytes="follow")
        assert run(url, new_bytes="follow") == ["COMPLETE", "CACHED"]
        second = change(module)
        pack(module, archive)
        with pytest.raises(DigestMismatchError, match="its bytes have changed"):
            run(url)
        states = run(url, new_bytes="follow")
    assert states == ["COMPLETE", "CACHED", "FAILED", "COMPLETE"]
    assert digests(tmp_path / "root")[-1] == second


@pytest.mark.parametrize(
    ("parameters", "has_driver"),
    [
        ({"handle": "/a"}, True),
        ({"handle": "https://example.org/text/1"}, True),
        ({"handle": "https://example.org/text/1", "digest": "0" * 64}, False),
        ({"handle": "repo+/r//a/b/3"}, False),
        ({"handle": "repo+/r//a/b@stable"}, True),
        ({"handle": "repo+/r//a/b", "optional": True}, False),
    ],
)
def test_what_cannot_change_needs_no_driver(parameters: dict[str, Any], has_driver: bool) -> None:
    resolver = ModuleResolver(**parameters)
    assert (resolver.driver_class is Driver) == has_driver
    assert (without_driver([resolver]) == []) == has_driver
