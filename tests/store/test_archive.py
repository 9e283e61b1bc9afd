"""Packing and unpacking: what is lost, what is refused, and that nothing is written elsewhere."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import (
    ArchiveError,
    InputError,
    NotAModuleError,
    OutputError,
    UnsafeArchiveError,
)
from hub_tfx.module.manifest import Manifest
from hub_tfx.store import archive as archive_module
from hub_tfx.store.archive import Limits, pack, unpack

_NAME = st.text("abcdefgh.-_ 0ñ漢", min_size=1, max_size=12).filter(lambda n: n not in (".", ".."))
_LONG_NAME = st.integers(90, 120).map(lambda length: "n" * length)
_PATH = st.lists(_NAME | _LONG_NAME, min_size=1, max_size=4).map("/".join)
_FILES = st.dictionaries(_PATH, st.binary(max_size=2000), max_size=8)


def _write_tree(root: Path, files: dict[str, bytes]) -> Path | None:
    """None where the paths clash with one another."""
    root.mkdir()
    for path, content in files.items():
        try:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        except OSError:
            return None
    return root


@settings(max_examples=60, deadline=None)
@given(files=_FILES)
def test_unpack_gives_back_what_pack_took(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("tree")
    if (tree := _write_tree(tmp_path / "tree", files)) is None:
        return
    pack(tree, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "copy")
    assert Manifest.of_directory(tmp_path / "copy") == Manifest.of_directory(tree)

    twin = tmp_path / "twin"
    twin.mkdir(mode=0o700)
    for path, content in reversed(files.items()):
        (twin / path).parent.mkdir(parents=True, exist_ok=True)
        (twin / path).write_bytes(content)
        (twin / path).chmod(0o600)
        os.utime(twin / path, (1, 1))
    (twin / "empty directory").mkdir(exist_ok=True)
    pack(twin, tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_an_archive_names_directories_and_nobody(module_dir: Path, tmp_path: Path) -> None:
    pack(module_dir, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        members = tar.getmembers()
    assert [m.name for m in members] == ["saved_model.pb", "variables", "variables/variables.index"]
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(0, 0, 0, "", "")}
    assert [m.mode for m in members] == [0o644, 0o755, 0o644]
    assert b"source" not in (tmp_path / "a.tar.gz").read_bytes()[:32]


def test_a_failed_pack_leaves_the_old_archive(module_dir: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    pack(module_dir, archive)
    before = archive.read_bytes()
    (module_dir / "back\\slash").write_bytes(b"")
    with pytest.raises(UnsafeArchiveError, match="backslash"):
        pack(module_dir, archive)
    (module_dir / "back\\slash").unlink()
    (module_dir / "link").symlink_to("saved_model.pb")
    with pytest.raises(NotAModuleError, match="regular file"):
        pack(module_dir, archive)
    with pytest.raises(OutputError, match="cannot be written"):
        pack(tmp_path / "source" / "variables", tmp_path / "missing" / "a.tar.gz")
    assert archive.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "source"]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_archives_of_other_writers_unpack(
    format_: int, mode: str, module_dir: Path, tmp_path: Path
) -> None:
    long = module_dir / ("d" * 60) / ("f" * 90)
    long.parent.mkdir()
    long.write_bytes(b"long")
    with tarfile.open(tmp_path / "a.tar", mode, format=format_) as tar:  # type: ignore[call-overload]
        tar.add(module_dir, "./")
    unpack(tmp_path / "a.tar", tmp_path / "copy")
    assert Manifest.of_directory(tmp_path / "copy") == Manifest.of_directory(module_dir)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar here")
@pytest.mark.parametrize("format_", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_archives_of_gnu_tar_unpack(format_: str, module_dir: Path, tmp_path: Path) -> None:
    """As TF Hub's documentation has them made: from inside the module, with ``./`` first."""
    command = ["tar", f"--format={format_}", "-czf", tmp_path / "a.tgz", "-C", module_dir, "."]
    subprocess.run(command, check=True)
    unpack(tmp_path / "a.tgz", tmp_path / "copy")
    assert Manifest.of_directory(tmp_path / "copy") == Manifest.of_directory(module_dir)


# --- Damage -------------------------------------------------------------------------------------


def _outcome(data: bytes, tmp_path: Path) -> Manifest | None:
    """The manifest of what was unpacked, None if it was refused and nothing was left."""
    (tmp_path / "cut").write_bytes(data)
    copy = tmp_path / "cut copy"
    try:
        unpack(tmp_path / "cut", copy)
    except (ArchiveError, UnsafeArchiveError):
        assert list(copy.iterdir()) == []
        return None
    manifest = Manifest.of_directory(copy)
    shutil.rmtree(copy)
    return manifest


def test_a_gzipped_archive_cut_at_any_byte_is_refused(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    assert [n for n in range(len(data)) if _outcome(data[:n], tmp_path)] == []


def test_a_plain_archive_cut_before_its_end_mark_is_refused(archive: Path, tmp_path: Path) -> None:
    data = gzip.decompress(archive.read_bytes())
    end = len(data.rstrip(b"\0"))
    end += -end % 512 + 1024
    assert [n for n in range(end) if _outcome(data[:n], tmp_path)] == []
    # Behind the mark is padding, of which some writers make more and some none.
    assert _outcome(data[:end], tmp_path) == _outcome(data, tmp_path) is not None
    assert _outcome(data[: end + 100], tmp_path) is None


def test_a_flipped_bit_is_refused_or_harmless(archive: Path, tmp_path: Path) -> None:
    data, whole = archive.read_bytes(), _outcome(archive.read_bytes(), tmp_path)
    for bit in range(0, len(data) * 8, 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert _outcome(bytes(flipped), tmp_path) in (None, whole), f"bit {bit}"


def test_a_flipped_bit_in_a_plain_header_is_refused_or_harmless(
    archive: Path, tmp_path: Path
) -> None:
    data = gzip.decompress(archive.read_bytes())
    whole = _outcome(data, tmp_path)
    for bit in range(0, 512 * 8, 5):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert _outcome(bytes(flipped), tmp_path) in (None, whole), f"bit {bit}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda gz: b"", "cut short"),
        (lambda gz: gz + b"x", "other bytes follow"),
        (lambda gz: gz + gz, "other bytes follow"),
        (lambda gz: gzip.compress(gz * 3), "not a tar"),
        (lambda gz: gzip.decompress(gz) + b"x" * 512, "other bytes follow"),
        (lambda gz: gzip.compress(gzip.decompress(gz) + b"x"), "other bytes follow"),
        (lambda gz: gzip.compress(gzip.decompress(gz).rstrip(b"\0")), "cut short"),
        (lambda gz: gz[:-8] + bytes(4) + gz[-4:], "damaged"),
        (lambda gz: gz[:-4] + bytes(4), "damaged"),
        (lambda gz: gz[:-8], "cut short"),
        (lambda gz: b"<!DOCTYPE html>" * 100, "not a tar"),
        (lambda gz: bytes(512) + gzip.decompress(gz), "lone block of zeros"),
    ],
)
def test_what_is_damaged_is_refused(
    change: Callable[[bytes], bytes], why: str, archive: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(change(archive.read_bytes()))
    with pytest.raises(ArchiveError, match=why) as error:
        unpack(broken, tmp_path / "copy")
    assert str(broken) in str(error.value)
    assert list((tmp_path / "copy").iterdir()) == []


# --- Hostile members ----------------------------------------------------------------------------


def _member(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def _archive_of(path: Path, *members: tarfile.TarInfo | bytes) -> Path:
    """Headers as they are given (bytes: a ready block), each followed by zeros as its data."""
    stream = io.BytesIO()
    for member in members:
        if isinstance(member, bytes):
            stream.write(member)
            continue
        stream.write(member.tobuf(tarfile.PAX_FORMAT))
        if member.isreg():
            stream.write(bytes(member.size + -member.size % 512))
    stream.write(bytes(1024))
    path.write_bytes(gzip.compress(stream.getvalue()))
    return path


_HOSTILE = {
    "symbolic link": [_member("link", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [_member("a"), _member("link", tarfile.LNKTYPE, linkname="a")],
    "a link": [_member("x", tarfile.GNUTYPE_LONGLINK)],
    "FIFO": [_member("fifo", tarfile.FIFOTYPE)],
    "character device": [_member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "block device": [_member("disk", tarfile.BLKTYPE, devmajor=8)],
    "a sparse": [_member("holes", tarfile.GNUTYPE_SPARSE)],
    "sparse file": [_member("holes", pax_headers={"GNU.sparse.size": "99"})],
    "unknown kind": [_member("tape", tarfile.CONTTYPE)],
    r"unknown kind b'V'": [_member("volume", b"V")],
    r"'\.\.' in its path": [_member("../escaped")],
    r"'a/\.\./\.\./b': '\.\.'": [_member("a/../../b")],
    "absolute": [_member("/tmp/escaped")],
    "backslash": [_member("a\\b")],
    "NUL byte or": [_member("x", pax_headers={"path": "evil\0.txt"})],
    "NUL byte inside": [_member("evil.txt").tobuf(tarfile.USTAR_FORMAT)],
    "is a URL": [_member("gs://bucket/x")],
    "second member": [_member("a"), _member("a", size=1)],
    r"'\./a': a second": [_member("a", size=600), _member("./a", size=1)],
    "a second member of": [_member("a", size=5), _member("a")],
    "sparse file;": [_member("holes", pax_headers={"SCHILY.realsize": "99"})],
    "a path of more than 2048": [_member("/".join(["n" * 200] * 11))],
    "global header that sets 'SCHILY.filetype'": [
        tarfile.TarInfo.create_pax_global_header({"SCHILY.filetype": "sparse"})
    ],
    "same as 'Readme'": [_member("Readme"), _member("README")],
    "same as 'A'": [_member("A/x"), _member("a/y")],
    "Unicode form": [_member("é"), _member(unicodedata.normalize("NFD", "é"))],
    "file and a directory": [_member("a"), _member("a/b")],
    "a file and a directory": [_member("a/b"), _member("a")],
    "its size is 5": [_member("d", tarfile.DIRTYPE, size=5)],
    "its size is -": [_member("x", size=-512).tobuf(tarfile.GNU_FORMAT)],
    "size is '-1e3'": [_member("x", pax_headers={"size": "-1e3"})],
    "not UTF-8": [_member("caf\udce9").tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")],
    "control character": [_member("a\nb")],
    "levels deep": [_member("/".join("d" * 40))],
    "more than 255 bytes": [_member("n" * 256)],
    "like a directory": [_member("x", pax_headers={"path": "dir/"})],
    "sets 'path'": [
        tarfile.TarInfo.create_pax_global_header({"path": "x"}),
        _member("a"),
    ],
    "a header of": [_member("x", tarfile.XHDTYPE, size=1 << 30)],
    "bytes, more than": [_member("big", tarfile.REGTYPE, size=1 << 62).tobuf(tarfile.GNU_FORMAT)],
}
_name_with_tail = bytearray(_HOSTILE["NUL byte inside"][0])  # type: ignore[arg-type]
_name_with_tail[20:25] = b"/../x"
_name_with_tail[148:156] = b" " * 8
_name_with_tail[148:156] = b"%06o\0 " % sum(_name_with_tail)
_HOSTILE["NUL byte inside"] = [bytes(_name_with_tail)]


@pytest.mark.parametrize("rule", _HOSTILE)
def test_hostile_members_are_refused_by_name_and_rule(rule: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = _archive_of(inner / "hostile.tar.gz", _member("first"), *_HOSTILE[rule])
    with pytest.raises(UnsafeArchiveError, match=rule) as error:
        unpack(archive, inner / "copy", name="https://host/module")
    assert str(error.value).startswith("https://host/module: ")
    assert list((inner / "copy").iterdir()) == []
    assert sorted(p.name for p in inner.iterdir()) == ["copy", "hostile.tar.gz"]
    assert [p.name for p in tmp_path.iterdir()] == ["inner"]
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("planted", ["a link", "a file"])
def test_a_name_that_somebody_plants_meanwhile_is_not_written_through(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the flags of the open holds this: the checks of names come before it."""
    (tmp_path / "victim").write_bytes(b"mine")
    make_directory = archive_module._make_directory

    def plant(path: Path) -> None:
        make_directory(path)
        if planted == "a link":
            (path / "a").symlink_to(tmp_path / "victim")
        else:
            os.link(tmp_path / "victim", path / "a")

    monkeypatch.setattr(archive_module, "_make_directory", plant)
    hostile = _archive_of(tmp_path / "hostile.tar.gz", _member("a", size=5))
    with pytest.raises(OutputError, match="a cannot be written"):
        unpack(hostile, tmp_path / "copy")
    assert (tmp_path / "victim").read_bytes() == b"mine"


def test_what_is_opened_to_unpack_is_new_and_no_link(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: list[int] = []
    real = os.open

    def noted(path: object, given: int, *mode: int, **options: object) -> int:
        if given & os.O_CREAT:
            flags.append(given)
        return real(path, given, *mode, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", noted)
    unpack(archive, tmp_path / "copy")
    assert flags
    assert all(given & os.O_EXCL and given & os.O_NOFOLLOW for given in flags)


_LIMITS = Limits(
    members=10, total_bytes=100_000, file_bytes=50_000, ratio=20, ratio_from_bytes=90_000
)


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ([_member(f"f{i}") for i in range(11)], "more than 10 members"),
        ([_member("x", size=50_001)], "50001 bytes, more than 50000"),
        ([_member(f"f{i}", size=49_000) for i in range(2)], "a bomb"),
        ([_member(f"f{i}", size=49_000) for i in range(3)], "a bomb|more than 100000"),
    ],
)
def test_limits_stop_the_unpacking(
    members: list[tarfile.TarInfo], rule: str, tmp_path: Path
) -> None:
    archive = _archive_of(tmp_path / "large.tar.gz", *members)
    with pytest.raises(UnsafeArchiveError, match=rule):
        unpack(archive, tmp_path / "copy", _LIMITS)
    archive.write_bytes(gzip.decompress(archive.read_bytes()))
    if "bomb" not in rule:
        with pytest.raises(UnsafeArchiveError, match=rule):
            unpack(archive, tmp_path / "copy", _LIMITS)
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_file_that_is_packed_twice_is_one_file(tmp_path: Path) -> None:
    """As TF Hub's own tests pack a directory and then each of its files."""
    folder = _member("d", tarfile.DIRTYPE)
    members = [folder, _member("d/a", size=700), folder, _member("./d/a", size=700), _member("b")]
    unpack(_archive_of(tmp_path / "twice.tar.gz", *members), tmp_path / "copy")
    assert (tmp_path / "copy" / "d" / "a").read_bytes() == bytes(700)
    assert sorted(os.listdir(tmp_path / "copy")) == ["b", "d"]


def test_directories_that_members_imply_are_counted(tmp_path: Path) -> None:
    members = [_member(f"{n}/" + "/".join("d" * 30)) for n in range(20)]
    archive = _archive_of(tmp_path / "deep.tar.gz", *members)
    with pytest.raises(UnsafeArchiveError, match="more than 500 files and folders"):
        unpack(archive, tmp_path / "copy", Limits(members=500))
    assert os.listdir(tmp_path / "copy") == []


def test_headers_that_describe_members_have_a_limit_together(tmp_path: Path) -> None:
    members = [_member(f"f{n}", pax_headers={"comment": "x" * 50_000}) for n in range(5)]
    archive = _archive_of(tmp_path / "pax.tar.gz", *members)
    unpack(archive, tmp_path / "copy")
    with pytest.raises(UnsafeArchiveError, match="headers have more than 200000 bytes"):
        unpack(archive, tmp_path / "other", Limits(metadata_bytes=200_000))


def test_a_plain_archive_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.tar").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnsafeArchiveError, match="it has 1099511627776 bytes, more than"):
        unpack(tmp_path / "large.tar", tmp_path / "copy")
    with (tmp_path / "large.tar").open("r+b") as file:
        file.truncate(1 << 28)
    with pytest.raises(ArchiveError, match="other bytes follow"):
        unpack(tmp_path / "large.tar", tmp_path / "copy")


def test_weights_of_nothing_but_zeros_are_no_bomb(tmp_path: Path) -> None:
    archive = _archive_of(tmp_path / "zeros.tar.gz", _member("zeros", size=80 << 20))
    assert (80 << 20) / archive.stat().st_size > 500
    unpack(archive, tmp_path / "copy")
    assert (tmp_path / "copy" / "zeros").stat().st_size == 80 << 20


def test_a_stream_longer_than_its_members_say_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "padded.tar").write_bytes(_member("a").tobuf() + bytes(200_000 - 512))
    with pytest.raises(UnsafeArchiveError, match="has 200000 bytes, more than 100000"):
        unpack(tmp_path / "padded.tar", tmp_path / "copy", _LIMITS)


def test_nothing_is_unpacked_over_other_files(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_bytes(b"mine")
    with pytest.raises(OutputError, match="not empty"):
        unpack(archive, tmp_path / "copy")
    assert (tmp_path / "copy" / "mine").read_bytes() == b"mine"


def test_an_archive_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.tar: .*No such file"):
        unpack(tmp_path / "gone.tar", tmp_path / "copy")
