"""Manifest: one digest for equal files, and a changed file named."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import DigestMismatchError, InputError, NotAModuleError
from hub_tfx.module.manifest import FileEntry, Manifest

_PART = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)
_ENTRY = st.builds(
    FileEntry,
    path=st.lists(_PART, min_size=1, max_size=4).map("/".join),
    size_bytes=st.integers(0, 1 << 60),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
)
_MANIFEST = st.lists(_ENTRY, unique_by=lambda entry: entry.path).map(
    lambda entries: Manifest(tuple(sorted(entries)))
)


@given(manifest=_MANIFEST)
def test_json_round_trip(manifest: Manifest) -> None:
    again = Manifest.from_json(manifest.to_json())
    assert again == manifest
    assert again.digest == manifest.digest
    assert again.size_bytes == sum(entry.size_bytes for entry in manifest.files)


@given(a=_MANIFEST, b=_MANIFEST)
def test_only_equal_manifests_have_equal_digests(a: Manifest, b: Manifest) -> None:
    assert (a.digest == b.digest) == (a == b)


_FINE = {"path": "a", "size_bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"files": [], "more": 1},
        {"files": "ab"},
        {"files": [1]},
        {"files": [{"path": "a"}]},
        {"files": [_FINE | {"mode": 1}]},
        {"files": [_FINE, _FINE]},
        *({"files": [_FINE | {"path": path}]} for path in ("", "/a", "../a", "a//b", "a/.", 1)),
        *({"files": [_FINE | {"size_bytes": size}]} for size in (-1, 1.5, "1", None, True)),
        *({"files": [_FINE | {"sha256": sha}]} for sha in ("", "0" * 63, "G" * 64, 1)),
    ],
)
def test_json_that_is_no_manifest(document: object) -> None:
    with pytest.raises(ValueError, match="manifest"):
        Manifest.from_json(json.dumps(document))


def test_json_that_is_no_json() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        Manifest.from_json("{")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_bytes(b"see")
    (tmp_path / "a").write_bytes(b"")
    return tmp_path


def test_of_directory(tree: Path) -> None:
    (tree / "empty").mkdir()
    manifest = Manifest.of_directory(tree)
    assert [(entry.path, entry.size_bytes) for entry in manifest.files] == [("a", 0), ("b/c", 3)]
    # Of no bytes at all, which everyone knows.
    assert manifest.files[0].sha256.startswith("e3b0c44298fc1c14")
    manifest.verify(tree)


@pytest.mark.parametrize(
    ("path", "content", "what"),
    [
        ("b/c", None, "b/c is missing"),
        ("b/c", b"sea", "b/c has other bytes"),
        ("b/d", b"", "b/d is not in the manifest"),
    ],
)
def test_verify_names_what_changed(path: str, content: bytes | None, what: str, tree: Path) -> None:
    manifest = Manifest.of_directory(tree)
    (tree / path).unlink(missing_ok=True)
    if content is not None:
        (tree / path).write_bytes(content)
    with pytest.raises(DigestMismatchError, match=what):
        manifest.verify(tree)
    assert Manifest.of_directory(tree).digest != manifest.digest


def test_links_and_devices_are_no_module(tree: Path) -> None:
    with pytest.raises(NotAModuleError, match="is not a directory"):
        Manifest.of_directory(tree / "a")
    (tree / "b" / "up").symlink_to("..")
    with pytest.raises(NotAModuleError, match="up is not a regular file"):
        Manifest.of_directory(tree)
    (tree / "b" / "up").unlink()
    os.mkfifo(tree / "fifo")
    with pytest.raises(NotAModuleError, match="fifo is not a regular file"):
        Manifest.of_directory(tree)


def test_what_cannot_be_read_is_never_taken_for_empty(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def locked(path: str) -> object:
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(InputError, match="b cannot be read: Permission denied"):
        Manifest.of_directory(tree)
