"""Folders of a bucket that are copied to this machine, and names that lead out of the copy."""

import os
from pathlib import Path

import pytest
from apache_beam.io.filesystem import FileMetadata, MatchResult
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.data import filesystems
from hub_tfx.data.filesystems import local_copy, local_directory
from hub_tfx.errors import InputError, RefusedError
from hub_tfx.module.manifest import is_inside
from hub_tfx.testing.remote import RemoteFileSystem

CONTENT = b"content"


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Names and sizes of objects, which may be any names, as in a real bucket."""
    objects: list[tuple[str, int]] = []

    def match(self: object, patterns: list[str], limits: object = None) -> list[MatchResult]:
        found = [FileMetadata(f"remote://{name}", size) for name, size in objects]
        return [MatchResult(pattern, found) for pattern in patterns]

    monkeypatch.setattr(RemoteFileSystem, "match", match)
    monkeypatch.setattr(RemoteFileSystem, "_local", lambda self, path: tmp_path / "content")
    (tmp_path / "content").write_bytes(CONTENT)
    temporary = tmp_path / "deep" / "deep" / "tmp"
    temporary.mkdir(parents=True)
    monkeypatch.setattr(filesystems.tempfile, "tempdir", str(temporary))
    return objects


def files_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "a/../../x",
        "..",
        "/etc/cron.d/x",
        "a//x",
        "./x",
        "a/./x",
        "a/",
        "",
        "a\0b",
        "caf\udce9",
    ],
)
def test_object_names_that_lead_out_of_the_copy_are_refused_before_anything_is_copied(
    name: str, bucket: list[tuple[str, int]], tmp_path: Path
) -> None:
    bucket += [("module/saved_model.pb", 7), (f"module/{name}", 7)]
    with pytest.raises(RefusedError, match=r"remote://module/.*refused.*rename or remove it"):
        local_directory("remote://module")
    assert files_in(tmp_path) == ["content"]


def test_other_names_and_markers_of_folders_are_copied(bucket: list[tuple[str, int]]) -> None:
    names = ["saved_model.pb", "variables/variables.index", "assets/a b.txt", "..a/b..", "é"]
    bucket += [(f"module/{name}", 7) for name in names] + [("module/variables/", 0)]
    assert files_in(Path(local_directory("remote://module/"))) == sorted(names)


def test_an_object_that_is_a_folder_too_is_one_clear_error(bucket: list[tuple[str, int]]) -> None:
    bucket += [("module/a", 7), ("module/a/b", 7)]
    with pytest.raises(InputError, match=r"remote://module/a.* cannot be copied to this machine"):
        local_directory("remote://module")


def test_a_file_whose_name_leads_elsewhere_is_not_copied(bucket: list[tuple[str, int]]) -> None:
    for path in ("remote://module/..", "remote://module/"):
        with pytest.raises(RefusedError), local_copy(path):
            pass


@given(st.text(st.sampled_from("a./\\ é\0"), max_size=12))
def test_what_is_inside_is_below_the_folder(name: str) -> None:
    if is_inside(name):
        joined = os.path.normpath(os.path.join("/top/folder", name))
        assert joined == f"/top/folder/{name}"
