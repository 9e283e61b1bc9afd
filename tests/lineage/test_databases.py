"""ML Metadata on MariaDB, PostgreSQL and a gRPC server: real ones, of this machine."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from uuid import uuid4

import pytest
from databases import PASSWORD, PASSWORD_ENV, Server
from metadata_server import metadata_server
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd
from recorded_runs import RecordedRun, new_sqlite, tune

from hub_tfx.cli.main import run
from hub_tfx.errors import InputError
from hub_tfx.lineage import types
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.history import runs_of
from hub_tfx.lineage.servers import open_server
from hub_tfx.lineage.store import open_store
from hub_tfx.lineage.types import register_types

_WRONG = "hunter2"


@pytest.fixture
def url(database_server: Server) -> str:
    """An empty database."""
    return database_server.new_database(f"d{uuid4().hex}")


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def stored(request: pytest.FixtureRequest) -> Iterator[MetadataStore]:
    """An ML Metadata that several tests write to."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORD_ENV, PASSWORD)
        yield open_store(Connection.parse(server.new_database(f"d{uuid4().hex}")))


def _complaint(url: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["history", "--metadata", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not any(secret in err for secret in (PASSWORD, "3 cr", _WRONG))
    return err


def test_history_and_lineage_read_what_was_written(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(Connection.parse(url))
    tune(RecordedRun(store, "tune", "r1"), 1, "blessed", "≥ better: 日本", 2)
    [found] = runs_of(open_store(Connection.parse(url)))
    assert (found.reason, found.published, found.rows) == ("≥ better: 日本", "acme/words/2", 12)
    assert run(["history", "--metadata", url]) == 0
    assert "acme/words/2" in capsys.readouterr().out
    assert run(["lineage", "1" * 64, "--metadata", url]) == 0
    assert "made by ModuleTrainer" in capsys.readouterr().out


def test_the_servers_of_these_tests_do_not_run_as_root(database_server: Server) -> None:
    assert (database_server.folder / "data").stat().st_uid != 0


def test_a_database_is_reached_by_its_socket(url: str, database_server: Server) -> None:
    database = Connection.parse(url).database
    if database_server.scheme == "mysql":
        socket, port = database_server.folder / "s", ""
    else:
        socket, port = database_server.folder, f":{database_server.port}"
    by_socket = f"{database_server.scheme}://tfx@{port}/{database}?socket={socket}"
    open_store(Connection.parse(by_socket, PASSWORD_ENV)).get_artifacts()


def test_four_processes_that_open_an_empty_database_at_once(url: str) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [
        context.Process(target=_open_and_register, args=(url, barrier, number))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    store = open_store(Connection.parse(url))
    for get in (store.get_artifact_types, store.get_execution_types, store.get_context_types):
        names = [kind.name for kind in get()]
        assert sorted(set(names)) == sorted(names)
    assert len(store.get_executions_by_type("hub_tfx.Step3")) == 4


def _open_and_register(url: str, barrier: Barrier, me: int) -> None:
    connection = Connection.parse(url)
    barrier.wait(60)
    store = open_store(connection)
    kinds = (mlmd.ArtifactType, mlmd.ExecutionType, mlmd.ContextType)
    wanted = [kind(name=f"hub_tfx.Step{number}") for number in range(5) for kind in kinds]
    barrier.wait(60)
    register_types(store, wanted)
    for number in range(5):
        type_id = store.get_execution_type(f"hub_tfx.Step{number}").id
        store.put_executions([mlmd.Execution(type_id=type_id, name=f"{me}")])


def test_a_process_that_died_while_it_registered_a_type_holds_nobody_up(
    postgresql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, PASSWORD)
    connection = Connection.parse(postgresql_server.new_database(f"d{uuid4().hex}"))
    store = open_store(connection)
    wanted = mlmd.ContextType(name="pipeline")
    assert types._claimed(store, wanted)
    monkeypatch.setattr(types, "_PATIENCE_S", 0.0)
    register_types(store, [wanted, wanted])
    assert [kind.name for kind in store.get_context_types()] == ["pipeline"]


_HOSTILE = ["\\", "\\'; DROP TABLE Event; --", "'", '"', "$0 %s", "\n", "ü\\u00fc", "\\\\'\\"]


@pytest.mark.parametrize("text", [*_HOSTILE, "".join(_HOSTILE)])
def test_any_text_is_kept_as_it_is(stored: MetadataStore, text: str) -> None:
    type_id = stored.put_artifact_type(mlmd.ArtifactType(name=f"type {text}"))
    artifact = mlmd.Artifact(type_id=type_id, uri=f"/{text}/a", name=f"{text}{uuid4().hex}")
    artifact.custom_properties[f"key {text}"].string_value = text
    [artifact_id] = stored.put_artifacts([artifact])
    [found] = stored.get_artifacts_by_id([artifact_id])
    assert (found.uri, found.name, found.type) == (artifact.uri, artifact.name, f"type {text}")
    assert found.custom_properties == artifact.custom_properties
    assert artifact_id in [a.id for a in stored.get_artifacts_by_uri(artifact.uri)]
    assert stored.get_artifact_type(f"type {text}").id == type_id
    assert stored.get_events_by_artifact_ids([artifact_id]) == []


# --- What can be wrong ---------------------------------------------------------------------------


def test_a_wrong_password(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, _WRONG)
    complaint = _complaint(url, capsys)
    assert f"does not let tfx in: check the user and ${PASSWORD_ENV}" in complaint


def test_no_password(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    complaint = _complaint(url.partition("?")[0], capsys)
    assert "check the user and the password, with ?password_env=NAME" in complaint


def test_a_database_that_is_not_there_is_not_created(
    database_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        complaint = _complaint(database_server.url("typo"), capsys)
        assert "it has no database typo: make it there with CREATE DATABASE" in complaint


def test_a_server_that_is_not_there(
    url: str, database_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = _complaint(url.replace(f":{database_server.port}/", ":1/"), capsys)
    assert "no server for ML Metadata answers at" in complaint
    assert "Connection refused; start it, or correct the address" in complaint
    assert _complaint("mysql://tfx@/a?socket=/nowhere", capsys).count("No such file") == 1
    assert "answers at grpc://127.0.0.1:1" in _complaint("grpc://127.0.0.1:1", capsys)


def test_a_server_of_another_kind(
    url: str, database_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = _complaint(f"grpc://127.0.0.1:{database_server.port}", capsys)
    assert "check that the server is of this kind and version" in complaint


@pytest.mark.parametrize(("version", "age"), [(9, "older"), (99, "newer")])
def test_tables_of_another_version(
    url: str, database_server: Server, capsys: pytest.CaptureFixture[str], version: int, age: str
) -> None:
    connection = Connection.parse(url)
    open_store(connection)
    database_server.query_in(connection.database, f"UPDATE MLMDEnv SET schema_version = {version}")
    assert f"its tables are of a {age} version" in _complaint(url, capsys).replace(" an ", " a ")


def test_tables_that_were_never_finished(
    url: str, database_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = Connection.parse(url)
    open_store(connection)
    database_server.query_in(connection.database, "DROP TABLE Event")
    with pytest.raises(InputError) as caught:
        open_server(connection, attempts=2)
    assert "only some of the tables of ML Metadata" in str(caught.value)


def test_a_user_without_rights_may_read_what_is_there(
    url: str, database_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection.parse(url)
    open_store(connection)
    reader, database = f"r{uuid4().hex[:12]}", connection.database
    monkeypatch.setenv("READER", "r")
    if database_server.scheme == "mysql":
        database_server.query(f"CREATE USER {reader} IDENTIFIED BY 'r'")
        database_server.query(f"GRANT SELECT ON {database}.* TO {reader}")
    else:
        database_server.query(f"CREATE USER {reader} PASSWORD 'r'")
        grant = f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}"
        database_server.query_in(database, grant)
    as_reader = url.replace("tfx@", f"{reader}@").replace(PASSWORD_ENV, "READER")
    assert runs_of(open_store(Connection.parse(as_reader))) == []
    other = Connection.parse(database_server.new_database(f"d{uuid4().hex}"))
    forbidden = as_reader.replace(f"/{database}?", f"/{other.database}?")
    with pytest.raises(InputError, match=f"does not let {reader} use the database"):
        open_store(Connection.parse(forbidden))


# --- A gRPC server -------------------------------------------------------------------------------


def test_a_grpc_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "metadata.sqlite"
    tune(RecordedRun(new_sqlite(str(path)), "tune", "r1"), 1, "blessed", "better", 2)
    with metadata_server(path) as port:
        url = f"grpc://localhost:{port}"
        assert run(["history", "--metadata", url]) == 0
        assert "acme/words/2" in capsys.readouterr().out
        assert run(["history", "--metadata", url, "--run", "r1"]) == 0
        assert run(["lineage", "1" * 64, "--metadata", url]) == 0
        assert "made by ModuleTrainer" in capsys.readouterr().out
    assert "no server for ML Metadata answers" in _complaint(url, capsys)
