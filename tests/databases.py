"""MariaDB and PostgreSQL of this machine, each in a folder of its own, for as long as a test needs.

Started by root they run as the users that Debian makes for them, since both refuse root. A server
dies with the process that started it, however that ends.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PASSWORD_ENV = "HUB_TFX_TEST_PASSWORD"
PASSWORD = "s'3 cr\\et\"@:/%é"
"""With all that a URL, a shell, SQL or a connection string of PostgreSQL could trip over."""
USER = "tfx"
_REQUIRED = "HUB_TFX_REQUIRE_DATABASES"
_START_S = 60.0
_PR_SET_PDEATHSIG = 1
_PLAIN = "--skip-test-db"
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Server:
    """A running server, to which ``USER`` may connect with ``PASSWORD``.

    Attributes:
      scheme: that of its URLs.
      port: on 127.0.0.1.
      folder: where it keeps everything; MariaDB's socket is ``s`` in it.
      query_in: runs a statement in a database as the administrator and returns what it prints.
      dump: gives all that a database holds, as text.
    """

    scheme: str
    port: int
    folder: Path
    query_in: Callable[[str, str], str]
    dump: Callable[[str], str]

    def query(self, statement: str) -> str:
        """Runs a statement that is about no database in particular."""
        return self.query_in("mysql" if self.scheme == "mysql" else "postgres", statement)

    def url(self, database: str) -> str:
        return (
            f"{self.scheme}://{USER}@127.0.0.1:{self.port}/{database}?password_env={PASSWORD_ENV}"
        )

    def new_database(self, name: str) -> str:
        """Makes an empty database; returns its URL."""
        self.query(f"CREATE DATABASE {name}")
        return self.url(name)


@contextmanager
def mariadb() -> Iterator[Server]:
    """A MariaDB."""
    install = _found("mariadb-install-db", "mariadb-server")
    daemon = _found("mariadbd", "mariadb-server")
    with _folder("mysql") as folder:
        data = f"--datadir={folder}/data"
        _run(
            # Without its anonymous user, who would come before ours.
            [install, "--no-defaults", data, "--auth-root-authentication-method=normal", _PLAIN],
            "mysql",
        )
        port, path = _free_port(), folder / "s"
        command = [daemon, "--no-defaults", data, f"--socket={path}", f"--port={port}"]
        cheap = ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]
        options = ["--bind-address=127.0.0.1", "--skip-name-resolve", *cheap]
        client = ["mariadb", "--no-defaults", f"--socket={path}", "--user=root", "-N", "-B"]
        with _running([*command, *options], "mysql", folder, [*client, "-e", "SELECT 1"]):
            dump = ["mariadb-dump", "--no-defaults", f"--socket={path}", "--user=root"]
            server = Server(
                *("mysql", port, folder),
                query_in=lambda database, sql: _run([*client, "-e", sql, database]),
                dump=lambda database: _run([*dump, database]),
            )
            quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
            server.query(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{quoted}'")
            server.query(f"GRANT ALL ON *.* TO '{USER}'@'%'")
            yield server


@contextmanager
def postgresql() -> Iterator[Server]:
    """A PostgreSQL."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    path = os.pathsep.join([*map(str, reversed(programs)), os.environ.get("PATH", "")])
    names = ("initdb", "postgres", "psql")
    initdb, postgres, psql = (_found(name, "postgresql", path) for name in names)
    with _folder("postgres") as folder:
        data, port = f"{folder}/data", _free_port()
        _run([initdb, "-D", data, "-U", "postgres", "-E", "UTF8", "--no-sync"], "postgres")
        # Trust on the socket, which only this folder's owner and root reach; otherwise a password.
        rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        Path(data, "pg_hba.conf").write_text(rules)
        command = [postgres, "-D", data, "-k", str(folder), "-p", str(port), "-h", "127.0.0.1"]
        cheap = ["fsync=off", "full_page_writes=off", "synchronous_commit=off"]
        options = [word for setting in cheap for word in ("-c", setting)]
        where = ["-h", str(folder), "-p", str(port), "-U", "postgres"]
        client = [psql, *where, "-qAtX"]
        with _running([*command, *options], "postgres", folder, [*client, "-c", "SELECT 1"]):
            dump = [str(Path(psql).with_name("pg_dump")), *where]
            server = Server(
                *("postgresql", port, folder),
                query_in=lambda database, sql: _run([*client, "-d", database, "-c", sql]),
                dump=lambda database: _run([*dump, database]),
            )
            quoted = PASSWORD.replace("'", "''")
            server.query(f"CREATE USER {USER} SUPERUSER PASSWORD '{quoted}'")
            yield server


def _found(program: str, package: str, path: str | None = None) -> str:
    """The path of a program; skips the test, or fails, where it is not installed."""
    path = path or os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if (found := shutil.which(program, path=path)) is None:
        say = pytest.fail if os.environ.get(_REQUIRED) == "1" else pytest.skip
        say(f"{program} is not installed: make system-deps (Debian: apt-get install {package})")
    return found


@contextmanager
def _folder(user: str) -> Iterator[Path]:
    """A folder of a user's: not below pytest's, which others cannot enter, and short."""
    folder = Path(tempfile.mkdtemp(prefix="hub-tfx-", dir="/tmp"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, user, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_user(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess that run a program as a user, if we may."""
    if user is None or os.getuid() != 0:
        return {"cwd": "/"}
    return {"user": user, "group": user, "extra_groups": [], "cwd": "/"}


def _run(command: Sequence[str], user: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, **_as_user(user))
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def _running(
    command: Sequence[str], user: str, folder: Path, asking: Sequence[str]
) -> Iterator[None]:
    """A server, from when it answers what is asked until the end of the block."""
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=out, preexec_fn=_die_with_parent, **_as_user(user)
        )
    try:
        _wait(server, asking, log)
        yield
    finally:
        server.send_signal(signal.SIGINT if "postgres" in command[0] else signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(server: subprocess.Popen[bytes], asking: Sequence[str], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        if subprocess.run(asking, capture_output=True).returncode == 0:
            return
        time.sleep(0.05)
    pytest.fail(f"{server.args} did not start: {log.read_text(errors='replace')[-2000:]}")
