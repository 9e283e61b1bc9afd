"""Directories that are replaced: the old one or the new one, whatever goes wrong."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hub_tfx import _files
from hub_tfx._files import remove_temporary, staged_directory


def write(path: Path, text: str, replace: bool = True) -> None:
    with staged_directory(path, replace=replace) as directory:
        (directory / "inner").mkdir()
        (directory / "inner" / "file").write_text(text)


def text_of(path: Path) -> str:
    return (path / "inner" / "file").read_text()


@pytest.fixture(params=["swapped in one step", "renamed twice"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a directory, on a filesystem that can swap names and on one that cannot."""
    if request.param == "renamed twice":
        monkeypatch.setattr(_files, "exchange", lambda one, other: False)
    return tmp_path / "parent" / "made"


def test_a_directory_appears_when_it_is_whole(path: Path) -> None:
    with staged_directory(path) as directory:
        assert not path.exists()
        (directory / "file").write_text("new")
    assert [item.name for item in path.parent.iterdir()] == ["made"]
    assert (path / "file").read_text() == "new"


def test_a_directory_is_replaced_with_all_that_was_in_it(path: Path) -> None:
    write(path, "old")
    (path / "more").write_text("old")
    write(path, "new")
    assert text_of(path) == "new"
    assert [item.name for item in path.iterdir()] == ["inner"]
    assert [item.name for item in path.parent.iterdir()] == ["made"]


def test_a_directory_that_is_not_to_be_replaced_is_left(path: Path) -> None:
    write(path, "old")
    with pytest.raises(OSError, match="not empty"):
        write(path, "new", replace=False)
    assert text_of(path) == "old"
    assert [item.name for item in path.parent.iterdir()] == ["made"]


def test_a_failure_leaves_the_old_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(_files, "sync_tree", fail)
        with pytest.raises(OSError, match="No space"):
            write(path, "new")
    assert text_of(path) == "old"
    with pytest.raises(KeyboardInterrupt), staged_directory(path, replace=True):
        raise KeyboardInterrupt
    assert text_of(path) == "old"
    assert [item.name for item in path.parent.iterdir()] == ["made"]


def test_where_the_second_rename_fails_the_first_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "made"
    write(path, "old")
    renamed: list[Path] = []
    rename = os.rename

    def second_fails(source: Path, target: Path) -> None:
        renamed.append(source)
        if len(renamed) == 2:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(_files, "exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output"):
        write(path, "new")
    assert text_of(path) == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["made"]


def test_a_reader_finds_one_directory_at_any_time(tmp_path: Path) -> None:
    path = tmp_path / "made"
    write(path, "0")
    (tmp_path / "other").mkdir()
    if not _files.exchange(tmp_path / "other", path):
        pytest.skip("this filesystem cannot swap names")
    _files.exchange(tmp_path / "other", path)
    over, missing = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            missing.extend([] if path.is_dir() else ["missing"])

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(100):
        write(path, str(number))
    over.set()
    reader.join()
    assert not missing
    assert text_of(path) == "99"


KILLED = """
import os, signal, sys
from pathlib import Path
from hub_tfx import _files

rename, left = os.rename, [int(sys.argv[2])]

def rename_or_die(*names):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    rename(*names)

os.rename = rename_or_die
_files.exchange = lambda one, other: False
with _files.staged_directory(Path(sys.argv[1]), replace=True) as directory:
    (directory / "inner").mkdir()
    (directory / "inner" / "file").write_text("new")
"""


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_between_two_renames_loses_nothing(tmp_path: Path, renames: int) -> None:
    path = tmp_path / "made"
    write(path, "old")
    command = [sys.executable, "-c", KILLED, str(path), str(renames)]
    assert subprocess.run(command).returncode == -9
    with pytest.raises(KeyboardInterrupt), staged_directory(path, replace=True):
        raise KeyboardInterrupt
    assert text_of(path) == ("new" if renames == 2 else "old")
    remove_temporary(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["made"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    _files._beside(tmp_path / "file").write_text("half")
    _files._beside(tmp_path / "folder").mkdir()
    (tmp_path / ".mine.tmp").write_text("of somebody else")
    remove_temporary(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == [".mine.tmp"]


def test_the_bytes_are_on_the_disk_before_they_have_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []

    def record(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        synced.append((name, path.exists()))

    path = tmp_path / "made"
    monkeypatch.setattr(os, "fsync", record)
    write(path, "new")
    temporary = synced[2][0]
    assert synced == [
        *(("file", False), ("inner", False), (temporary, False)),
        (tmp_path.name, True),
    ]
    assert temporary.startswith(".made.")
