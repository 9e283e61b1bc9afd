"""Quiet libraries, and modules that many tests read and none changes."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import PASSWORD, PASSWORD_ENV, Server, mariadb, postgresql
from trust import examine_here, trust_tuned

from hub_tfx._quiet import quiet_libraries

quiet_libraries()  # Here, since TensorFlow reads the environment once, at its import.

for suite in ("readers", "writers", "fetchers", "trainers", "repositories"):
    pytest.register_assert_rewrite(f"hub_tfx.testing.{suite}")

from hub_tfx import testing  # noqa: E402
from hub_tfx.module.spec import ModuleFormat  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files again")


def pytest_collection_finish() -> None:
    """What is imported stays: without this each full collection looks at all of TFX again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def taken_on_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """See ``trust_tuned``."""
    trust_tuned(monkeypatch)


@pytest.fixture(autouse=True)
def examined_here() -> Iterator[None]:
    """See ``examine_here``; tests of the child have a fixture of this name that does nothing."""
    with pytest.MonkeyPatch.context() as patch:  # A fixture more would not go with hypothesis.
        examine_here(patch)
        yield


@pytest.fixture(scope="session", params=["tf1_hub", "saved_model"])
def module_format(request: pytest.FixtureRequest) -> ModuleFormat:
    """Both formats, one after the other."""
    return request.param


@pytest.fixture(scope="session")
def text_module_dir(module_format: ModuleFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text embedding module with the words and vectors of ``hub_tfx.testing``."""
    return testing.text_module(tmp_path_factory.mktemp("text") / "1", module_format)


@pytest.fixture(scope="session")
def image_module_dir(module_format: ModuleFormat, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image feature module of 8 x 8 pixels."""
    return testing.image_module(tmp_path_factory.mktemp("image") / "1", module_format)


@pytest.fixture(scope="session")
def judged_modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``better`` and ``worse``: see judged.make_modules."""
    from judged import make_modules

    return make_modules(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    """A MariaDB of this machine's, with no database."""
    with mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    """A PostgreSQL of this machine's, with no database."""
    with postgresql() as server:
        yield server


@pytest.fixture(params=["mariadb", "postgresql"])
def database_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Server:
    """Both, one after the other; the environment has the password."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    return request.getfixturevalue(f"{request.param}_server")
