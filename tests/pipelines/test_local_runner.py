"""LocalDagRunner with ML Metadata in SQLite, MariaDB, PostgreSQL and on a gRPC server."""

import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

import pytest
from cheap_steps import cheap_pipeline
from databases import PASSWORD, PASSWORD_ENV, Server
from metadata_server import metadata_server
from tfx_helpers import write_tfrecord

from hub_tfx.cli.main import run as hub_tfx
from hub_tfx.cli.main import run_command
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError, HubTfxError
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.history import Run, runs_of
from hub_tfx.lineage.store import open_store
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import text_module
from hub_tfx_pipelines.cli import run as run_group
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline
from hub_tfx_pipelines.local_runner import LocalRunner

pytestmark = pytest.mark.long

_TELLTALE = "3 cr"  # Of the password, whatever escapes the rest of it.


@pytest.fixture(scope="module", autouse=True)
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def database(database_server: Server) -> Connection:
    """An empty database."""
    return Connection.parse(database_server.new_database(f"d{uuid4().hex}"))


@pytest.fixture(params=["sqlite", "mariadb", "postgresql", "grpc"])
def connection(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connection]:
    """ML Metadata without a run, in each place that it may be."""
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    if request.param == "sqlite":
        yield Connection.sqlite(str(tmp_path / "metadata.sqlite"))
    elif request.param == "grpc":
        with metadata_server(tmp_path / "metadata.sqlite") as port:
            yield Connection("grpc", host="localhost", port=port)
    else:
        server: Server = request.getfixturevalue(f"{request.param}_server")
        yield Connection.parse(server.new_database(f"d{uuid4().hex}"))


def _history(connection: Connection) -> list[Run]:
    return runs_of(open_store(connection, read_only=True), limit=None)


def test_the_cache_and_the_history_work_wherever_ml_metadata_is(
    connection: Connection, tmp_path: Path
) -> None:
    root, runner = str(tmp_path / "artifacts"), LocalRunner(connection)
    runner.run(cheap_pipeline(connection, root))
    runner.run(cheap_pipeline(connection, root))
    runner.run(cheap_pipeline(connection, root, span=2))
    with pytest.raises(ValueError, match="no label"):
        runner.run(cheap_pipeline(connection, root, span=2, complaint="no label"))
    with pytest.raises(HubTfxError, match="a step ended the process with status 7"):
        runner.run(cheap_pipeline(connection, root, span=2, complaint="end"))
    first, again, new, failed, ended = _history(connection)
    assert [run.spans for run in (first, again, new)] == [(1,), (1,), (2,)]
    assert [step.state for step in again.steps] == ["CACHED", "CACHED"]
    assert [run.is_cached for run in (first, again, new)] == [False, True, False]
    assert first.steps[1].outputs == again.steps[1].outputs
    assert [(s.name, s.state, s.error) for s in failed.open_steps] == [
        ("Learn", "FAILED", "ValueError: no label")
    ]
    assert [(step.name, step.state) for step in ended.open_steps] == [("Learn", "RUNNING")]


def test_the_password_is_in_no_log_and_not_in_ml_metadata(
    database: Connection,
    database_server: Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="absl")
    pipeline = cheap_pipeline(database, str(tmp_path), complaint="$env")
    with pytest.raises(ValueError, match="3 cr"):
        LocalRunner(database).run(pipeline)
    assert 'password: "…"' in caplog.text
    assert _TELLTALE not in caplog.text
    [run] = _history(database)
    assert run.steps[1].error == "ValueError: …"
    stored = database_server.dump(database.database)
    assert "ValueError" in stored
    assert _TELLTALE not in stored


def test_parameters_and_errors_may_hold_any_text(connection: Connection, tmp_path: Path) -> None:
    hostile = "\\'; DROP TABLE Event; -- \"ü\\n"
    pipeline = cheap_pipeline(connection, str(tmp_path), complaint=hostile)
    with pytest.raises(ValueError, match="DROP TABLE"):
        LocalRunner(connection).run(pipeline)
    [run] = _history(connection)
    assert run.steps[1].error == f"ValueError: {hostile}"
    [learn] = open_store(connection).get_executions_by_id([run.steps[1].id])
    assert learn.custom_properties["complaint"].string_value == hostile


def test_an_artifact_whose_key_lies_behind_its_index_on_the_disk_is_found(
    postgresql_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    connection = Connection.parse(postgresql_server.new_database(f"d{uuid4().hex}"))
    runner = LocalRunner(connection)
    runner.run(cheap_pipeline(connection, str(tmp_path)))
    moved = (
        "WITH moved AS (DELETE FROM EventPath WHERE NOT is_index_step RETURNING *) "
        "INSERT INTO EventPath SELECT * FROM moved"
    )
    postgresql_server.query_in(connection.database, moved)
    runner.run(cheap_pipeline(connection, str(tmp_path)))
    with pytest.raises(ValueError, match="no label"):
        runner.run(cheap_pipeline(connection, str(tmp_path), complaint="no label"))
    first, again, failed = _history(connection)
    assert again.is_cached
    assert [step.outputs for step in again.steps] == [step.outputs for step in first.steps]
    assert [step.state for step in failed.steps] == ["CACHED", "FAILED"]


def test_ml_metadata_that_goes_away_during_a_run_is_named(tmp_path: Path) -> None:
    with metadata_server(tmp_path / "metadata.sqlite") as port:
        connection = Connection("grpc", host="localhost", port=port)
        runner = LocalRunner(connection)
        runner.run(cheap_pipeline(connection, str(tmp_path)))
    with pytest.raises(HubTfxError, match=f"answers at grpc://localhost:{port}"):
        runner.run(cheap_pipeline(connection, str(tmp_path)))


# --- Several at once -----------------------------------------------------------------------------

_PIPELINES = 4


def _run_at_once(connection: Connection, folder: Path, times: int) -> None:
    context = multiprocessing.get_context("fork")  # TFX, which takes long, is imported.
    barrier = context.Barrier(_PIPELINES)
    processes = [
        context.Process(target=_run_again, args=(connection, folder, f"p{n}", times, barrier))
        for n in range(_PIPELINES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(150)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * _PIPELINES


def _run_again(
    connection: Connection, folder: Path, name: str, times: int, barrier: Barrier
) -> None:
    barrier.wait(60)
    for span in range(times):
        root = str(folder / name)
        LocalRunner(connection).run(cheap_pipeline(connection, root, name, span))


def _check_whole(connection: Connection, times: int) -> None:
    """Every run is complete, and no type, context or artifact is missing or there twice."""
    store, runs = open_store(connection), _history(connection)
    assert sorted(run.pipeline for run in runs) == sorted(
        f"p{n}" for n in range(_PIPELINES) for _ in range(times)
    )
    assert [run.id for run in runs if run.open_steps or len(run.steps) != 2] == []
    made = [produced.id for run in runs for step in run.steps for produced in step.outputs]
    assert sorted(made) == sorted(artifact.id for artifact in store.get_artifacts())
    assert len(set(made)) == 2 * _PIPELINES * times
    assert len(store.get_artifacts_by_type("Model")) == _PIPELINES * times
    for get in (store.get_artifact_types, store.get_execution_types, store.get_context_types):
        names = [kind.name for kind in get()]
        assert sorted(names) == sorted(set(names))
    contexts = [(context.type, context.name) for context in store.get_contexts()]
    assert sorted(contexts) == sorted(set(contexts))


def test_four_pipelines_at_once_in_an_empty_database(database: Connection, tmp_path: Path) -> None:
    _run_at_once(database, tmp_path, times=2)
    _check_whole(database, times=2)


@pytest.mark.slow
def test_four_pipelines_at_once_again_and_again(database: Connection, tmp_path: Path) -> None:
    _run_at_once(database, tmp_path, times=15)
    _check_whole(database, times=15)


# --- A pipeline of ours -------------------------------------------------------------------------


def test_the_command_keeps_its_runs_in_a_database(
    database: Connection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = text_module(tmp_path / "text" / "1")
    rows = [{"id": n, "größe": n, "text": f"the cat {n}"} for n in range(20)]
    write_tfrecord(tmp_path / "data" / "texts.tfrecord.gz", rows)
    url = f"{database}".partition("?")[0]
    places = ["--output-root", str(tmp_path / "run"), "--data-root", str(tmp_path / "data")]
    metadata = ["--metadata", url, "--metadata-password-env", PASSWORD_ENV]
    kept = ["--module", str(module), "--keep", "id", "größe"]
    arguments = ["embed", *places, *metadata, *kept, "--incremental"]
    for _ in range(2):
        assert run_command(run_group, arguments, "hub-tfx run") == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "run" / "metadata.sqlite").exists()
    assert hub_tfx(["history", *metadata]) == 0
    header, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    first, again = (dict(zip(header, line, strict=True)) for line in lines)
    assert (first["rows"], first["embedded"], first["reused"]) == ("20", "20", "0")
    assert (again["rows"], again["embedded"], again["reused"]) == ("20", "0", "20")
    assert again["steps"] == "complete, 2 cached"
    assert hub_tfx(["lineage", Manifest.of_directory(module).digest, *metadata]) == 0
    assert "made by EmbeddingGenerator" in capsys.readouterr().out


# --- The configuration and the command -----------------------------------------------------------

_CONFIG = {
    "pipeline_name": "embed",
    "pipeline_root": "/artifacts",
    "data_root": "/data",
    "module": "https://example.org/text/1",
    "embed": EmbedConfig(),
}


def test_a_pipeline_has_the_connection_of_its_config() -> None:
    connection = Connection.parse("postgresql://tfx@db/runs")
    pipeline = create_pipeline(EmbedPipelineConfig(**_CONFIG, metadata=connection))
    assert pipeline.metadata_connection_config == connection.config()
    assert create_pipeline(EmbedPipelineConfig(**_CONFIG)).metadata_connection_config is None


def test_a_config_has_one_place_of_ml_metadata(tmp_path: Path) -> None:
    path = str(tmp_path / "new" / "metadata.sqlite")
    config = EmbedPipelineConfig(**_CONFIG, metadata_path=path)
    assert config.connection == Connection.sqlite(path)
    with pytest.raises(ConfigError, match="metadata and metadata_path are the same: give one"):
        EmbedPipelineConfig(**_CONFIG, metadata_path=path, metadata=Connection.sqlite(path))


@pytest.mark.parametrize(
    ("metadata", "code", "complaint"),
    [
        ("mysql://tfx:hunter2@db/runs", 2, "holds a password"),
        ("mysql://tfx@127.0.0.1:1/runs", 1, "no server for ML Metadata answers at"),
    ],
)
def test_an_error_of_the_option_is_one_line_before_anything_is_done(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    metadata: str,
    code: int,
    complaint: str,
) -> None:
    places = ["--output-root", str(tmp_path / "run"), "--data-root", str(tmp_path)]
    arguments = ["embed", *places, "--module", "nowhere", "--metadata", metadata]
    assert run_command(run_group, arguments, "hub-tfx run") == code
    err = capsys.readouterr().err
    assert complaint in err
    assert "hunter2" not in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
