"""Where ML Metadata is: what the command line takes, and what ML Metadata gets of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.cli.main import run
from hub_tfx.errors import ConfigError
from hub_tfx.lineage.connection import Connection

_SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "connection"),
    [
        ("run/metadata.sqlite", Connection.sqlite("run/metadata.sqlite")),
        ("mysql://tfx@db:3307/runs", Connection("mysql", "runs", "tfx", "db", 3307)),
        ("mariadb://tfx@db/runs", Connection("mysql", "runs", "tfx", "db")),
        (
            "mysql://tfx@/runs?socket=/run/my.sock&password_env=DB_PASSWORD",
            Connection("mysql", "runs", "tfx", socket="/run/my.sock", password_env="DB_PASSWORD"),
        ),
        ("postgresql://tfx@db:5433/runs", Connection("postgresql", "runs", "tfx", "db", 5433)),
        ("PostgreS://a%40b@[::1]/runs", Connection("postgresql", "runs", "a@b", "::1")),
        ("grpc://metadata:8080", Connection("grpc", host="metadata", port=8080)),
    ],
)
def test_the_forms_of_the_command_line(text: str, connection: Connection) -> None:
    assert Connection.parse(text) == connection
    assert Connection.parse(str(connection)) == connection


_NAMES = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.isprintable)
_PORTS = st.none() | st.integers(1, 65535)
_ENVIRONMENT = st.none() | st.from_regex(r"[A-Z_][A-Z0-9_]*", fullmatch=True)
_SOCKETS = _NAMES.map(lambda name: f"/{name}")
_DATABASES = _NAMES.filter(lambda name: not {"/", "@"} & set(name))


@given(
    st.one_of(
        st.builds(
            Connection,
            st.sampled_from(["mysql", "postgresql"]),
            _DATABASES,
            _NAMES,
            st.sampled_from(["db", "db.example.org", "10.0.0.1", "::1"]),
            _PORTS,
            password_env=_ENVIRONMENT,
        ),
        st.builds(
            lambda database, user, socket: Connection("mysql", database, user, socket=socket),
            *(_DATABASES, _NAMES, _SOCKETS),
        ),
    )
)
def test_what_is_printed_is_read_back(connection: Connection) -> None:
    assert Connection.parse(str(connection)) == connection


@given(st.text(), st.none() | st.text())
def test_any_text_is_a_connection_or_refused(text: str, password_env: str | None) -> None:
    try:
        connection = Connection.parse(text, password_env)
    except ConfigError:
        return
    assert Connection.parse(str(connection)) == connection


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"mysql://tfx:{_SECRET}@db/runs", "holds a password"),
        (f"postgresql://tfx:{_SECRET}@db:5432/runs", "holds a password"),
        (f"mysql://tfx:a@{_SECRET}@db/runs", "holds a password"),
        (f"mysql://tfx@db/runs?password={_SECRET}", "holds a password"),
        ("mysql://:@db/runs", "holds a password"),
        (f"mysql://tfx:{_SECRET}/x@db/runs", "the port is not a number"),
        (f"mysql://tfx:12/{_SECRET}@db/runs", "the user is missing"),
        (f"mysql://tfx:12#{_SECRET}@db/runs", "has a #"),
        (f"mysql://tfx:12?{_SECRET}@db/runs", "takes the options password_env and socket"),
        (f"mysql://tfx@db/runs?{_SECRET}=1", "takes the options password_env and socket"),
        (f"mysql://tfx@db/runs?password_env={_SECRET}!", "not the name of an environment"),
        (f"mysql:tfx:{_SECRET}@db/runs", "no // after the scheme"),
        ("mysql://tfx@db/runs?socket=/a&socket=/b", "each once"),
        (f"mysql://tfx@db/runs?socket=/{_SECRET}", "either a host or ?socket"),
        ("mysql://tfx@/runs?socket=a", "not an absolute path"),
        ("mysql://tfx@:3306/runs?socket=/a", "a port beside it"),
        ("mysql://tfx@/runs", "either a host or ?socket"),
        ("mysql://db/runs", "the user is missing"),
        ("mysql://tfx@db", "the name of the database is missing"),
        (f"mysql://tfx@db/runs/{_SECRET}", "holds a / or @"),
        ("mysql://tfx@db/a%00b", "not printable"),
        ("mysql://tfx@db:0/runs", "between 1 and 65535"),
        ("mysql://tfx@[::1/runs", "cut short"),
        ("grpc://metadata", "needs a host and a port"),
        (f"grpc://{_SECRET}@metadata:8080", "without a user or a password"),
        ("grpc://metadata:8080/runs", "a host and a port only"),
        (f"oracle://tfx:{_SECRET}@db/runs", "oracle:// is not one that can be used"),
        ("gs://bucket/metadata.sqlite", "gs://bucket/metadata.sqlite is not one that can be used"),
        ("", "the path of the SQLite file is empty"),
    ],
)
def test_what_is_refused_is_not_quoted(
    text: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["history", "--metadata", text]) == 2
    err = capsys.readouterr().err
    assert why in err
    assert "give the path of a SQLite file, mysql://USER@HOST" in err
    assert _SECRET not in err
    assert err.count("\n") == 1


def test_the_variable_with_the_password_may_be_an_option() -> None:
    named = Connection.parse("mysql://tfx@db/runs?password_env=A")
    assert Connection.parse("mysql://tfx@db/runs", "A") == named
    assert Connection.parse(str(named), "A") == named
    with pytest.raises(ConfigError, match="are different"):
        Connection.parse(str(named), "B")


@pytest.mark.parametrize("text", ["run/metadata.sqlite", "grpc://metadata:8080"])
def test_a_password_for_what_takes_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "--metadata", text, "--metadata-password-env", "A"]) == 2
    assert "is for a database with a password" in capsys.readouterr().err


def test_the_environment_names_the_place_where_no_option_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUB_TFX_METADATA", "nowhere.sqlite")
    assert run(["history"]) == 1
    assert "there is no ML Metadata in nowhere.sqlite" in capsys.readouterr().err


def test_mysql_gets_a_host_or_a_socket_since_with_both_the_process_aborts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A", _SECRET)
    by_host = Connection.parse("mysql://tfx@localhost:3307/runs?password_env=A").config()
    assert (by_host.mysql.host, by_host.mysql.port) == ("127.0.0.1", 3307)
    assert (by_host.mysql.socket, by_host.mysql.password) == ("", _SECRET)
    by_socket = Connection.parse("mysql://tfx@/runs?socket=/run/my.sock").config()
    assert (by_socket.mysql.host, by_socket.mysql.port) == ("", 0)
    assert by_socket.mysql.socket == "/run/my.sock"


def test_postgresql_gets_values_as_its_connection_strings_quote_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A", "it's a\\b")
    config = Connection.parse("postgresql://tfx@db/runs?password_env=A").config().postgresql
    assert (config.password, config.port, config.host) == (r"'it\'s a\\b'", "5432", "'db'")
    assert config.dbname == "'runs'"


def test_no_database_is_created_by_mistake_and_aborted_transactions_are_tried_again() -> None:
    for text in ("mysql://tfx@db/runs", "postgresql://tfx@db/runs"):
        config = Connection.parse(text).config()
        assert getattr(config, config.WhichOneof("config")).skip_db_creation
        assert config.retry_options.max_num_retries == 20


def test_an_answer_of_a_grpc_server_may_be_long() -> None:
    config = Connection.parse("grpc://metadata:8080").config()
    assert (config.host, config.port) == ("metadata", 8080)
    assert config.channel_arguments.max_receive_message_length == -1


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    connection = Connection.parse("mysql://tfx@db/runs?password_env=DB_PASSWORD")
    with pytest.raises(ConfigError, match="DB_PASSWORD is not set: set it to the password of tfx"):
        connection.config()


def test_the_path_of_a_file_may_not_begin_as_a_url() -> None:
    with pytest.raises(ConfigError, match=r"write \./ before it"):
        Connection.sqlite("mysql://tfx@db/runs")
    assert Connection.parse("./mysql:a.sqlite").database == "./mysql:a.sqlite"
    with pytest.raises(ConfigError, match="has no user"):
        Connection("sqlite", "a.sqlite", user="tfx")
