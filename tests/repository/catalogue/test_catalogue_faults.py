"""A catalogue whose repository or file is damaged, and one that is read and killed at work."""

import os
import shutil
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from catalogues import add
from killing import kill_points

from hub_tfx.errors import InputError, OutputError
from hub_tfx.repository import layout
from hub_tfx.repository.catalogue import Catalogue, CatalogueQuery, refresh
from hub_tfx.repository.changes import set_alias, set_yanked
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage, open_storage

ONE, TWO = "acme/one", "acme/two"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Two modules of two versions."""
    storage = open_storage(tmp_path / "r")
    for handle in (ONE, TWO):
        for number in (1, 2):
            add(storage, tmp_path, handle, number, summary=f"Version {number}.")
    set_alias(storage, ModuleName.parse(ONE), "stable", 1, "x")
    set_yanked(storage, ModuleName.parse(ONE), 1, "x")
    return storage


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


def handles(catalogue: Catalogue, text: str = "") -> list[str]:
    entries = catalogue.search(CatalogueQuery(text, sort="name")).entries
    return [f"{entry.handle}/{entry.version}" for entry in entries]


@pytest.fixture
def catalogue(storage: Storage, index: Path) -> Iterator[Catalogue]:
    with Catalogue.open(storage, index) as made:
        yield made


DAMAGES = {
    "1/version.json": ("one/1/version.json is damaged", ["acme/one/2", "acme/two/2"]),
    "2/version.json": ("one/2/version.json is damaged", ["acme/two/2"]),  # The other is yanked.
    "2/README.md": ("one/2/README.md is not what was published", ["acme/one/2", "acme/two/2"]),
    "2/module.json": ("one/2/module.json is not what was", ["acme/one/2", "acme/two/2"]),
    "-/aliases/stable/0001.json": ("0001.json is damaged", ["acme/two/2"]),
    "-/yanks/1/0001.json": ("0001.json is damaged", ["acme/two/2"]),
}


@pytest.mark.parametrize("path", DAMAGES)
@pytest.mark.parametrize("is_known", [False, True])
def test_what_is_damaged_is_told_until_it_is_repaired_and_stops_nothing_else(
    path: str, is_known: bool, catalogue: Catalogue, tmp_path: Path
) -> None:
    told, left = DAMAGES[path]
    file = tmp_path / "r" / ONE / path
    before = file.read_bytes()
    if is_known:
        catalogue.refresh()
    file.unlink()
    file.write_bytes(b"{")
    if is_known and path.endswith(("README.md", "module.json")):
        assert catalogue.refresh().is_empty  # It was read when it was whole.
    else:
        for _ in range(2):
            [problem] = catalogue.refresh().problems
            assert problem.startswith(f"{ONE}: ")
            assert told in problem
        assert catalogue.refresh().is_empty
        assert handles(catalogue) == left
    file.unlink()
    file.write_bytes(before)
    assert catalogue.refresh().problems == ()
    assert handles(catalogue) == ["acme/one/2", "acme/two/2"]


def test_a_time_that_is_not_one_is_damage(catalogue: Catalogue, tmp_path: Path) -> None:
    marker = tmp_path / "r" / ONE / "2" / "version.json"
    text = marker.read_text().replace("2026-01-01T00:00:00+00:00", "yesterday")
    marker.unlink()
    marker.write_text(text)
    [problem] = catalogue.refresh().problems
    assert "'yesterday' is not a time" in problem


def test_folders_that_are_not_modules_are_passed_over(catalogue: Catalogue, tmp_path: Path) -> None:
    for name in (
        "lost+found/x/1",
        ".snapshot/x/1",
        "acme/one.json/1",
        "acme/empty",
        "acme/1/x",
        "acme/z/x",
    ):
        (tmp_path / "r" / name).mkdir(parents=True)
        (tmp_path / "r" / name / "version.json").write_text("{}")
    (tmp_path / "r" / "acme" / "file").write_text("x")
    changes = catalogue.refresh()
    assert (changes.added, changes.problems) == ((ONE, TWO), ())


def test_a_folder_that_cannot_be_listed_keeps_what_was_known_of_it(
    catalogue: Catalogue, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue.refresh()
    names = storage.names
    for folder in ("acme", ONE, f"{ONE}/-/yanks"):

        def refused(asked: str, folder: str = folder) -> list[str]:
            if asked == folder:
                raise InputError(f"{folder} cannot be read")
            return names(asked)

        monkeypatch.setattr(storage, "names", refused)
        changes = catalogue.refresh()
        assert changes.is_empty
        assert len(changes.problems) == 1
        assert f"{folder} cannot be read" in changes.problems[0]
        assert handles(catalogue) == ["acme/one/2", "acme/two/2"]


def test_a_place_that_is_not_a_repository_leaves_the_index_as_it_was(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    catalogue.refresh()
    (tmp_path / "r").rename(tmp_path / "aside")
    with pytest.raises(InputError, match="is not a repository"):
        catalogue.refresh()
    assert handles(catalogue) == ["acme/one/2", "acme/two/2"]


# --- The file -------------------------------------------------------------------------------------


def damage(index: Path, how: str) -> None:
    content = index.read_bytes()
    match how:
        case "not a database":
            index.write_bytes(b"notes of mine\n" * 100)
        case "empty":
            index.write_bytes(b"")
        case "cut short":
            index.write_bytes(content[: len(content) // 2])
        case "zeros inside":
            index.write_bytes(content[:4096] + bytes(len(content) - 4096))


def test_a_file_that_is_cut_short_while_it_is_open_is_built_again(
    catalogue: Catalogue, index: Path
) -> None:
    catalogue.refresh()
    for path in (index, Path(f"{index}-wal")):
        os.truncate(path, 0)
    with suppress(OutputError):
        catalogue.search(CatalogueQuery())
    catalogue.refresh()
    assert handles(catalogue, "version") == ["acme/one/2", "acme/two/2"]


@pytest.mark.parametrize("how", ["not a database", "empty", "cut short", "zeros inside"])
def test_a_damaged_file_is_built_again(how: str, storage: Storage, index: Path) -> None:
    with Catalogue.open(storage, index) as catalogue:
        catalogue.refresh()
    damage(index, how)
    with Catalogue.open(storage, index) as catalogue:
        assert catalogue.refresh().added == (ONE, TWO)
        assert handles(catalogue, "version") == ["acme/one/2", "acme/two/2"]
    if how == "not a database":
        assert Path(f"{index}.damaged").read_bytes().startswith(b"notes of mine")


def test_a_file_that_is_damaged_while_it_is_open_is_built_again(
    catalogue: Catalogue, index: Path
) -> None:
    catalogue.refresh()
    with sqlite3.connect(index) as other:
        other.execute("DROP TABLE modules")
    with pytest.raises(OutputError, match=r"is damaged .* built again by the next refresh"):
        catalogue.search(CatalogueQuery())
    assert catalogue.refresh().added == (ONE, TWO)
    assert handles(catalogue) == ["acme/one/2", "acme/two/2"]


def test_a_file_of_another_repository_or_schema_is_built_again(
    storage: Storage, index: Path, tmp_path: Path
) -> None:
    other = open_storage(tmp_path / "other")
    add(other, tmp_path / "2", "bob/three")
    with Catalogue.open(other, index) as catalogue:
        catalogue.refresh()
    with Catalogue.open(storage, index) as catalogue:
        assert catalogue.count().modules == 0
        assert catalogue.refresh().added == (ONE, TWO)
    with sqlite3.connect(index) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.execute("CREATE TABLE newer (x)")
    with Catalogue.open(storage, index) as catalogue:
        assert catalogue.refresh().added == (ONE, TWO)


def test_what_was_indexed_is_there_after_a_restart(storage: Storage, index: Path) -> None:
    with Catalogue.open(storage, index) as catalogue:
        catalogue.refresh()
    with Catalogue.open(storage, index) as catalogue:
        assert handles(catalogue) == ["acme/one/2", "acme/two/2"]
        assert catalogue.refresh().is_empty


def test_the_database_of_another_program_is_left_alone(storage: Storage, index: Path) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(OutputError, match="is a database of another program"):
        Catalogue.open(storage, index)
    with sqlite3.connect(index) as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


def test_a_place_for_the_index_that_cannot_be_one_is_named(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    for path, told in (
        (tmp_path / "fifo", "it is a FIFO, not a file"),
        (tmp_path, "it is a directory, not a file"),
        (tmp_path / "file" / "index", "cannot be used"),
        (Path("/proc/index"), "cannot be used"),
    ):
        with pytest.raises(OutputError, match=told):
            Catalogue.open(storage, path)


# --- At work --------------------------------------------------------------------------------------


def test_a_build_that_is_killed_is_resumed_where_it_was(
    storage: Storage, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of a transaction: what was committed is there, and nothing else."""
    monkeypatch.setattr(refresh, "_BATCH", 1)
    put, put_before = refresh._Refresh._put, list[str]()

    def deadly(self: refresh._Refresh, connection: sqlite3.Connection, module: object) -> bool:
        done = put(self, connection, module)  # type: ignore[arg-type]
        if put_before:
            os.kill(os.getpid(), signal.SIGKILL)
        put_before.append("x")
        return done

    child = os.fork()
    if not child:
        refresh._Refresh._put = deadly  # type: ignore[method-assign,assignment]
        Catalogue.open(storage, index).refresh()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    with Catalogue.open(storage, index) as catalogue:
        assert handles(catalogue) == ["acme/one/2"]
        assert catalogue.refresh().added == (TWO,)
        assert handles(catalogue, "version") == ["acme/one/2", "acme/two/2"]


@pytest.mark.slow
def test_wherever_a_build_is_killed_the_index_is_of_use(
    storage: Storage, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every write, sync and removal of the system."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    monkeypatch.setattr(refresh, "_BATCH", 1)

    def prepare() -> None:
        for path in index.parent.glob(f"{index.name}*"):
            path.unlink()

    def build() -> None:
        with Catalogue.open(storage, index) as catalogue:
            catalogue.refresh()

    whole, left = ["acme/one/2", "acme/two/2"], Counter[int]()
    for call in kill_points(prepare, build, ("pwrite64", "fdatasync", "unlink", "ftruncate")):
        with Catalogue.open(storage, index) as catalogue:
            there = handles(catalogue)
            assert there in ([], whole[:1], whole), call
            left[len(there)] += 1
            assert catalogue.refresh().problems == ()
            assert handles(catalogue, "version") == whole, call
    assert left[0] > 1
    assert left[1] > 1
    print(f"a build, killed at {sum(left.values())} points, left modules: {dict(left)}")


def test_readers_see_whole_versions_while_others_are_published(
    catalogue: Catalogue, storage: Storage, tmp_path: Path
) -> None:
    """What a reader finds by the words of a version is that version, and every page adds up."""
    catalogue.refresh()
    last, stopped = 8, threading.Event()

    def read() -> set[int]:
        seen = set[int]()
        while not stopped.is_set():
            results = catalogue.search(CatalogueQuery("version", sort="name"))
            assert len(results.entries) == results.total == 2
            for entry in results.entries:
                assert entry.summary == f"Version {entry.version}."
                assert entry.versions == entry.version
            seen.add(results.entries[0].version)
            assert catalogue.count().modules == 2
        return seen

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            for number in range(3, last + 1):
                for handle in (ONE, TWO):
                    add(storage, tmp_path, handle, number, summary=f"Version {number}.")
                    assert catalogue.refresh().updated == (handle,)
        finally:
            stopped.set()
        seen = set.union(*(reader.result() for reader in readers))
    assert seen <= set(range(2, last + 1))
    assert handles(catalogue) == [f"acme/one/{last}", f"acme/two/{last}"]


def test_several_may_refresh_one_index(storage: Storage, index: Path) -> None:
    catalogues = [Catalogue.open(storage, index) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for changes in pool.map(Catalogue.refresh, catalogues):
            assert changes.problems == ()
    for catalogue in catalogues:
        assert handles(catalogue, "version") == ["acme/one/2", "acme/two/2"]
        assert catalogue.count().versions == 4
        catalogue.close()


def test_old_indexes_do_not_hinder_new_repositories(tmp_path: Path, index: Path) -> None:
    """An empty repository is one: nothing is found, and nothing goes wrong."""
    storage = open_storage(tmp_path / "empty")
    storage.create(layout.REPOSITORY, b'{"layout": 1}')
    with Catalogue.open(storage, index) as catalogue:
        assert catalogue.refresh().is_empty
        results = catalogue.search(CatalogueQuery("x"))
        assert (results.total, results.pages, results.entries) == (0, 1, ())
        assert catalogue.nearest("x") == catalogue.newest(3) == catalogue.publishers() == []
