"""The directory of an evaluation: complete, or as it was; on this machine and in a bucket."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_tfx.data.filesystems import make_folder, write_bytes
from hub_tfx.errors import InputError, OutputError
from hub_tfx.evaluate.output import EVALUATION, REPORT, evaluation_directory, read_evaluation
from hub_tfx.testing.remote import RemoteFileSystem

JSON = b'{"made_by": "hub_tfx"}'


@pytest.fixture(params=["here", "in a bucket"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with RemoteFileSystem.at(tmp_path):
        yield str(tmp_path / "out") if request.param == "here" else "remote://out"


def write(output: str, report: bytes) -> None:
    with evaluation_directory(output) as writing:
        writing.files |= {EVALUATION: JSON, REPORT: report}


def fail(output: str) -> None:
    """As a job does that has written something, and then cannot go on."""
    with evaluation_directory(output) as writing:
        make_folder(writing.folder)
        write_bytes(f"{writing.folder}/rows", b"of a job")
        writing.files[EVALUATION] = b"half"
        raise ZeroDivisionError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_earlier_evaluation_is_replaced(output: str, tmp_path: Path) -> None:
    for report in (b"one", b"two"):
        write(output, report)
        assert contents(tmp_path) == {f"out/{EVALUATION}": JSON, f"out/{REPORT}": report}


def test_a_failure_leaves_what_was_there_and_nothing_else(output: str, tmp_path: Path) -> None:
    write(output, b"one")
    before = contents(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fail(output)
    assert contents(tmp_path) == before


def test_what_a_killed_run_left_is_no_obstacle_and_goes(output: str, tmp_path: Path) -> None:
    name = ".tmp-0123456789abcdef" if output.startswith("remote") else f".x.{'0' * 32}.tmp"
    (tmp_path / "out" / name).mkdir(parents=True)
    (tmp_path / "out" / name / "rows").write_bytes(b"half")
    write(output, b"one")
    assert contents(tmp_path) == {f"out/{EVALUATION}": JSON, f"out/{REPORT}": b"one"}


@pytest.mark.parametrize("name", ["photos/1.jpg", REPORT, "evaluation.json.bak"])
def test_what_no_evaluation_has_written_is_not_replaced(
    name: str, output: str, tmp_path: Path
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of someone else")
    with pytest.raises(OutputError, match=f"holds '{name}', which is not of an evaluation"):
        write(output, b"one")
    assert contents(tmp_path) == {f"out/{name}": b"of someone else"}


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out is a file: name a directory to write to"):
        write(str(tmp_path / "out"), b"one")


@pytest.mark.parametrize("name", ["", ".", "../here"])
def test_the_current_directory_is_not_replaced(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(OutputError, match=r"is the current directory: name another one"):
        write(name, b"one")


def test_a_link_to_a_directory_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for report in (b"one", b"two"):
        write(str(tmp_path / "out"), report)
    assert (tmp_path / "out").is_symlink()
    assert contents(tmp_path / "disk") == {EVALUATION: JSON, REPORT: b"two"}


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", JSON, b"\xff", b"[" * 100_000])
def test_what_is_not_an_evaluation_is_named(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / EVALUATION).write_bytes(content)
    with pytest.raises(InputError, match=r"evaluation\.json cannot be read as an evaluation: "):
        read_evaluation(str(tmp_path))
