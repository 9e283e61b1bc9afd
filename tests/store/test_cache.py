"""ModuleCache: what is a hit, what is refused, and that nothing is ever half there."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from hub_tfx.errors import (
    ArchiveError,
    ConfigError,
    DigestMismatchError,
    FetchError,
    HandleError,
    InputError,
    NotAModuleError,
    OutputError,
    UnsafeArchiveError,
)
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.ops import op_list
from hub_tfx.store.archive import pack, unpack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher, minimal_module, serve

VERSIONED = "https://hub.test/acme/text/1"
UNVERSIONED = "https://hub.test/acme/text"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def fetcher(module_dir: Path) -> FakeFetcher:
    return FakeFetcher({VERSIONED: module_dir, UNVERSIONED: module_dir})


@pytest.fixture
def cache(root: Path, fetcher: FakeFetcher) -> ModuleCache:
    return ModuleCache(root, fetcher=fetcher)


def _names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []


def _entries(root: Path) -> list[str]:
    assert _names(root / "hub_tfx" / "tmp") == []
    return _names(root / "hub_tfx" / "modules")


def _snapshot(root: Path) -> dict[Path, tuple[int, int]]:
    return {p: (p.lstat().st_ino, p.lstat().st_mtime_ns) for p in sorted(root.rglob("*"))}


# Of Path where there is a choice: pathlib keeps os's functions from before any patch.
_WRITERS = [(os, "rename"), (os, "fsync"), (os, "replace"), (Path, "mkdir"), (Path, "write_text")]


# --- Hits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("handle", [VERSIONED, UNVERSIONED])
def test_a_remote_handle_is_fetched_once(
    handle: str, cache: ModuleCache, fetcher: FakeFetcher, module_dir: Path, root: Path
) -> None:
    first = cache.resolve(handle)
    second = ModuleCache(root, fetcher=fetcher).resolve(ModuleHandle.parse(handle))
    assert len(fetcher.calls) == 1
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert first.path == second.path == root / "hub_tfx" / "modules" / first.digest / "module"
    assert first.digest == Manifest.of_directory(module_dir).digest
    assert Manifest.of_directory(first.path).digest == first.digest
    assert first.spec == second.spec == inspect(module_dir)
    assert first.size_bytes == Manifest.of_directory(module_dir).size_bytes
    assert _entries(root) == [first.digest]


def test_handles_of_equal_modules_share_an_entry(cache: ModuleCache, root: Path) -> None:
    assert cache.resolve(VERSIONED).path == cache.resolve(UNVERSIONED).path
    assert len(_entries(root)) == 1


def test_a_pinned_digest_is_a_hit_under_a_handle_never_seen(
    cache: ModuleCache, fetcher: FakeFetcher
) -> None:
    digest = cache.resolve(VERSIONED).digest
    for handle in ("https://elsewhere.test/x", "s3://bucket/x", "/no/such/directory"):
        assert cache.resolve(handle, digest=digest.upper()).cache_hit
    assert len(fetcher.calls) == 1


def test_a_hit_writes_nothing(
    cache: ModuleCache, root: Path, module_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = cache.resolve(VERSIONED).digest
    cache.resolve(str(module_dir))
    before = _snapshot(root)
    for owner, name in _WRITERS:
        monkeypatch.setattr(owner, name, _fail_with(errno.EROFS))
    assert cache.resolve(VERSIONED).cache_hit
    assert cache.resolve(str(module_dir)).cache_hit
    assert cache.resolve("https://hub.test/other", digest=digest).cache_hit
    assert _snapshot(root) == before


def test_a_cache_beside_tf_hubs_own_files(root: Path, cache: ModuleCache) -> None:
    root.mkdir()
    (root / "0123456789abcdef0123456789abcdef01234567").mkdir()
    (root / "0123456789abcdef0123456789abcdef01234567.descriptor.txt").write_text("")
    cache.resolve(VERSIONED)
    assert len(_names(root)) == 3


def test_a_version_is_another_module(tmp_path: Path, module_dir: Path, root: Path) -> None:
    second = minimal_module(tmp_path / "second", dim=8)
    fetcher = FakeFetcher({"https://h/m/1": module_dir, "https://h/m/2": second})
    cache = ModuleCache(root, fetcher=fetcher)
    assert cache.resolve("https://h/m/1").digest != cache.resolve("https://h/m/2").digest
    assert len(_entries(root)) == 2


# --- Digests ------------------------------------------------------------------------------------


def test_a_pin_that_does_not_match_keeps_nothing(cache: ModuleCache, root: Path) -> None:
    with pytest.raises(DigestMismatchError, match=f"{'a' * 64} is pinned"):
        cache.resolve(VERSIONED, digest="a" * 64)
    assert _entries(root) == []
    digest = cache.resolve(VERSIONED).digest
    before = _snapshot(root / "hub_tfx" / "modules")
    with pytest.raises(DigestMismatchError, match=digest):
        cache.resolve(VERSIONED, digest="b" * 64)
    assert _snapshot(root / "hub_tfx" / "modules") == before
    assert cache.resolve(VERSIONED).cache_hit


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64, "a" * 65, f" {'a' * 64}"])
def test_a_pin_that_is_no_digest(digest: str, cache: ModuleCache) -> None:
    with pytest.raises(ConfigError, match="64 hex digits"):
        cache.resolve(VERSIONED, digest=digest)


@pytest.mark.parametrize("handle", [VERSIONED, UNVERSIONED])
def test_new_bytes_under_a_known_handle_are_never_taken_silently(
    handle: str, root: Path, module_dir: Path, tmp_path: Path
) -> None:
    old = ModuleCache(root, fetcher=FakeFetcher({handle: module_dir})).resolve(handle)
    changed = FakeFetcher({handle: minimal_module(tmp_path / "changed", dim=8)})
    cache = ModuleCache(root, fetcher=changed)
    assert cache.resolve(handle).digest == old.digest
    shutil.rmtree(old.path.parent)
    with pytest.raises(DigestMismatchError, match=f"{old.digest} and is now") as error:
        cache.resolve(handle)
    assert _entries(root) == []
    new = str(error.value).split("is now ")[1][:64]
    assert cache.resolve(handle, digest=new).digest == new
    assert cache.resolve(handle).digest == new, "what was pinned once is trusted"


# --- Damage -------------------------------------------------------------------------------------

_DAMAGE: dict[str, Callable[[Path], object]] = {
    "saved_model.pb is missing": lambda entry: (entry / "module" / "saved_model.pb").unlink(),
    "variables/variables.index is missing": lambda entry: shutil.rmtree(
        entry / "module" / "variables"
    ),
    "saved_model.pb does not have the size": lambda entry: os.truncate(
        entry / "module" / "saved_model.pb", 3
    ),
    "tfhub_module.pb does not belong": lambda entry: (
        entry / "module" / "tfhub_module.pb"
    ).write_bytes(b"\x08\x03"),
    "link does not belong": lambda entry: (entry / "module" / "link").symlink_to("/etc"),
    "manifest.json was changed": lambda entry: (entry / "manifest.json").write_text('{"files":[]}'),
    "manifest.json cannot be read": lambda entry: (entry / "manifest.json").write_text("{"),
    "is missing": lambda entry: shutil.rmtree(entry / "module"),
}


@pytest.mark.parametrize("pin", [False, True])
@pytest.mark.parametrize("damage", _DAMAGE)
def test_a_damaged_entry_is_set_aside_and_fetched_again(
    damage: str, pin: bool, cache: ModuleCache, root: Path, fetcher: FakeFetcher
) -> None:
    whole = cache.resolve(VERSIONED)
    digest = whole.digest if pin else None
    _DAMAGE[damage](whole.path.parent)

    offline = ModuleCache(root, fetcher=FakeFetcher({}))
    with pytest.raises(FetchError, match=f"no such module.*damaged .*{damage}"):
        offline.resolve(VERSIONED, digest=digest)

    mended = cache.resolve(VERSIONED, digest=digest)
    assert not mended.cache_hit
    assert Manifest.of_directory(mended.path).digest == whole.digest
    assert _entries(root) == [whole.digest]
    assert len(_names(root / "hub_tfx" / "quarantine")) == 1
    assert cache.resolve(VERSIONED).cache_hit
    assert len(fetcher.calls) == 2


def test_a_lost_spec_is_read_from_the_module_again(cache: ModuleCache, root: Path) -> None:
    whole = cache.resolve(VERSIONED)
    for text in ("", "{}", '{"format": 1}', "[]"):
        (whole.path.parent / "spec-2.json").write_text(text)
        again = cache.resolve(VERSIONED)
        assert again.cache_hit
        assert again.spec == whole.spec


def test_the_spec_that_an_earlier_version_read_from_the_graph_is_not_believed(
    cache: ModuleCache,
) -> None:
    whole = cache.resolve(VERSIONED)
    entry = whole.path.parent
    earlier = (entry / "spec-2.json").read_text().replace('"default"', '"output_0"')
    (entry / "spec.json").write_text(earlier)
    (entry / "spec-2.json").unlink()
    assert cache.resolve(VERSIONED).spec == whole.spec


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"digest": "../../x"}', '{"digest": 1}'])
def test_a_record_that_cannot_be_read_is_a_miss(
    text: str, cache: ModuleCache, root: Path, fetcher: FakeFetcher
) -> None:
    cache.resolve(VERSIONED)
    [record] = (root / "hub_tfx" / "handles").iterdir()
    record.write_text(text)
    assert not cache.resolve(VERSIONED).cache_hit
    assert cache.resolve(VERSIONED).cache_hit


def test_a_file_in_the_place_of_an_entry_is_set_aside(
    cache: ModuleCache, root: Path, module_dir: Path
) -> None:
    digest = Manifest.of_directory(module_dir).digest
    (root / "hub_tfx" / "modules").mkdir(parents=True)
    (root / "hub_tfx" / "modules" / digest).write_text("planted")
    assert cache.resolve(VERSIONED).digest == digest


# --- Failures leave nothing ---------------------------------------------------------------------


def _fail_with(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


class _Broken:
    """Writes something, then fails."""

    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        (into / "README").write_text("no module")
        (into.parent / "scratch").write_text("left behind")
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    "error",
    [FetchError("x"), ArchiveError("x"), UnsafeArchiveError("x"), KeyboardInterrupt(), None],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_fetch_leaves_nothing(error: BaseException | None, root: Path) -> None:
    expected = NotAModuleError if error is None else type(error)
    with pytest.raises(expected) as caught:
        ModuleCache(root, fetcher=_Broken(error)).resolve(VERSIONED)
    assert _entries(root) == []
    assert _names(root / "hub_tfx" / "handles") == []
    if error is None:
        why = f"{VERSIONED} is not a module: it does not hold saved_model.pb: check the handle"
        assert str(caught.value).startswith(why)


@pytest.mark.parametrize(("owner", "call"), _WRITERS, ids=[call for _, call in _WRITERS])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_named_and_leaves_nothing(
    owner: object,
    call: str,
    number: int,
    cache: ModuleCache,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache.resolve(VERSIONED)
    before = _snapshot(root / "hub_tfx" / "modules")
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, _fail_with(number))
        with pytest.raises(OutputError, match=os.strerror(number)):
            cache.resolve(UNVERSIONED)
    assert _snapshot(root / "hub_tfx" / "modules") == before
    assert len(_entries(root)) == 1
    assert len(_names(root / "hub_tfx" / "handles")) == 1


def test_a_damaged_archive_at_every_byte_is_never_cached(
    archive: Path, root: Path, tmp_path: Path
) -> None:
    data = archive.read_bytes()
    cut = tmp_path / "cut.tar.gz"
    cache = ModuleCache(root)
    for length in range(0, len(data), 7):
        cut.write_bytes(data[:length])
        with pytest.raises((ArchiveError, NotAModuleError)):
            cache.resolve(str(cut))
    assert _entries(root) == []


def test_an_unknown_scheme_lists_the_known_ones(root: Path) -> None:
    with pytest.raises(HandleError, match=r"ftp:// handles: use one of abfs, .*, or register a"):
        ModuleCache(root).resolve("ftp://bucket/module")
    assert not root.exists()


# --- Where the cache is -------------------------------------------------------------------------


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("TFHUB_CACHE_DIR", "~/hub")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/caches")
    assert ModuleCache("here").root == Path.cwd() / "here"
    assert ModuleCache().root == Path("/home/ann/hub")
    monkeypatch.setenv("TFHUB_CACHE_DIR", "")
    assert ModuleCache().root == Path("/var/caches/hub_tfx")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert ModuleCache().root == Path("/home/ann/.cache/hub_tfx")


def test_a_new_cache_is_private(cache: ModuleCache, root: Path) -> None:
    resolved = cache.resolve(VERSIONED)
    for private in (root, root / "hub_tfx"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not resolved.path.stat().st_mode & 0o022


def test_a_cache_inside_a_directory_that_others_may_write_is_private_too(
    fetcher: FakeFetcher, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    before = os.umask(0)
    try:
        ModuleCache(shared, fetcher=fetcher).resolve(VERSIONED)
    finally:
        os.umask(before)
    assert stat.S_IMODE((shared / "hub_tfx").stat().st_mode) == 0o700
    assert [p for p in (shared / "hub_tfx").rglob("*") if p.stat().st_mode & 0o022] == []
    assert ModuleCache(shared, fetcher=fetcher).resolve(VERSIONED).cache_hit


def test_an_entry_is_on_the_disk_before_it_has_its_name(
    cache: ModuleCache, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and directory of it is synced, then renamed, then the directory above is synced.

    A kill does not show it, since the kernel keeps what was written: only a power cut would.
    """
    synced: list[tuple[int, int]] = []
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_dev, status.st_ino))
        fsync(descriptor)

    def noted_rename(source: Path, target: Path) -> None:
        rename(source, target)
        if Path(target).parent.name == "modules":
            calls.extend(["rename", *map(str, synced)])

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    entry = cache.resolve(VERSIONED).path.parent
    before = set(calls[1:])
    for path in (entry, *entry.rglob("*")):
        assert str((path.stat().st_dev, path.stat().st_ino)) in before, path
    modules = (root / "hub_tfx" / "modules").stat()
    assert (modules.st_dev, modules.st_ino) in synced[len(calls) - 1 :]


def test_what_killed_processes_left_half_done_is_removed_by_its_age(
    cache: ModuleCache, root: Path
) -> None:
    days_ago = time.time() - 2 * 24 * 3600
    tmp = root / "hub_tfx" / "tmp"
    for name in ("left", "alive"):
        (tmp / name / "module").mkdir(parents=True)
        (tmp / name / "module" / "saved_model.pb").write_text("half")
    for path in (*tmp.rglob("*"), tmp):
        os.utime(path, (days_ago, days_ago))
    os.utime(tmp / "alive" / "module" / "saved_model.pb")
    cache.resolve(VERSIONED)
    assert _names(tmp) == ["alive"]


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/no/place"])
def test_a_cache_that_cannot_be_is_named(
    place: str, fetcher: FakeFetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / place))
    with pytest.raises(OutputError, match=r"the cache .*/.*TFHUB_CACHE_DIR"):
        ModuleCache(fetcher=fetcher).resolve(VERSIONED)
    assert fetcher.calls == []


def test_a_cache_cannot_be_remote() -> None:
    with pytest.raises(OutputError, match="gs://bucket is not a local directory"):
        ModuleCache("gs://bucket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_may_read_a_cache_but_not_write_it(
    module_dir: Path, root: Path, tmp_path: Path
) -> None:
    digest = ModuleCache(root, fetcher=FakeFetcher({VERSIONED: module_dir})).resolve(VERSIONED)
    for folder in (root, root / "hub_tfx"):
        folder.chmod(0o755)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:  # Opened through the directory itself: the ones above are the test's own.
            os.chdir(root)
            os.setgid(65534)
            os.setuid(65534)
            cache = ModuleCache(".", fetcher=FakeFetcher({}))
            cache._folder.root, cache._folder.base = Path(), Path("hub_tfx")
            hit = cache.resolve(VERSIONED)
            try:
                cache.resolve(UNVERSIONED)
            except OutputError as error:
                os.write(write, f"{hit.cache_hit} {hit.digest} {error}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    said = os.read(read, 10_000).decode()
    assert said.startswith(f"True {digest.digest} ")
    assert "Permission denied" in said


# --- Local sources ------------------------------------------------------------------------------


def test_a_local_directory_is_followed(module_dir: Path, root: Path) -> None:
    cache = ModuleCache(root)
    first = cache.resolve(str(module_dir))
    assert not first.cache_hit
    assert cache.resolve(str(module_dir)).cache_hit
    (module_dir / "variables" / "variables.index").write_bytes(b"NO VARIABLES")
    second = cache.resolve(f"file://{module_dir}/")
    assert not second.cache_hit
    assert second.digest != first.digest
    with pytest.raises(DigestMismatchError, match=f"{second.digest}, but {'c' * 64}"):
        cache.resolve(str(module_dir), digest="c" * 64)
    assert cache.resolve(str(module_dir), digest=first.digest).path == first.path
    assert len(_entries(root)) == 2


def test_a_local_archive_is_followed_and_unpacked_once(
    archive: Path, module_dir: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModuleCache(root)
    first = cache.resolve(str(archive))
    with monkeypatch.context() as patch:
        patch.setattr("hub_tfx.store.fetch.local.unpack", _fail_with(errno.EIO))
        assert cache.resolve(str(archive)).cache_hit
    (module_dir / "variables" / "variables.index").write_bytes(b"changed")
    pack(module_dir, archive)
    second = cache.resolve(str(archive))
    assert (second.cache_hit, second.digest != first.digest) == (False, True)
    with pytest.raises(DigestMismatchError, match="is pinned"):
        cache.resolve(str(archive), digest="c" * 64)
    assert cache.resolve(str(archive)).cache_hit


@pytest.mark.parametrize("handle", ["/etc", "file:///etc", "/", "..", "/etc/passwd", "/dev/null"])
def test_what_is_no_module_here_is_refused_before_it_is_read(
    handle: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Manifest, "of_directory", _fail_with(errno.EIO))
    with pytest.raises(NotAModuleError, match="is not a module") as error:
        ModuleCache(root).resolve(handle)
    assert ModuleHandle.parse(handle).path in str(error.value)
    assert not root.exists()


@pytest.mark.parametrize("folder", ["text", "modules/v1/text"])
def test_an_archive_with_the_module_further_down_says_in_which_folder(
    folder: str, root: Path, tmp_path: Path, module_dir: Path
) -> None:
    shutil.copytree(module_dir, tmp_path / "top" / folder)
    pack(tmp_path / "top", archive := tmp_path / "m.tar.gz")
    with pytest.raises(NotAModuleError) as error:
        ModuleCache(root).resolve(str(archive))
    assert str(error.value) == (
        f"{archive} is not a module: it does not hold saved_model.pb, but its folder "
        f"{folder!r} does: pack what is in there, tar -C {folder} -czf FILE ."
    )
    assert _entries(root) == []


def test_a_directory_near_the_module_says_where_it_is(
    root: Path, tmp_path: Path, module_dir: Path
) -> None:
    for name in ("a", "b", "c", "d", "e/1"):
        shutil.copytree(module_dir, tmp_path / "top" / name)

    def refusal(path: Path) -> str:
        with pytest.raises(NotAModuleError) as error:
            ModuleCache(root).resolve(str(path))
        return str(error.value).removeprefix(str(path))

    give = ": give the directory that does"
    lacks = " is not a module: it does not hold saved_model.pb"
    several = f"{lacks}, but its folders 'a', 'b', 'c' and 2 more do{give}"
    assert refusal(tmp_path / "top") == several
    assert refusal(tmp_path / "top" / "e") == f"{lacks}, but its folder '1' does{give}"
    inside = tmp_path / "top" / "a" / "variables"
    assert refusal(inside) == f"{lacks}, but the directory that it is in does{give}"
    file = tmp_path / "top" / "a" / "saved_model.pb"
    assert refusal(file) == f" is a file of a module: give its directory, {file.parent}"


def test_a_path_where_nothing_is(root: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="nothing here cannot be read: No such file"):
        ModuleCache(root).resolve(str(tmp_path / "nothing here"))


@pytest.mark.parametrize("kind", ["link", "link to a directory", "fifo"])
def test_links_and_devices_in_a_directory_are_refused(
    kind: str, module_dir: Path, root: Path
) -> None:
    odd = module_dir / "variables" / "odd"
    match kind:
        case "link":
            odd.symlink_to("/etc/passwd")
        case "link to a directory":
            odd.symlink_to("/etc")
        case "fifo":
            os.mkfifo(odd)
    with pytest.raises(NotAModuleError, match="odd is not a regular file"):
        ModuleCache(root).resolve(str(module_dir))
    assert _entries(root) == []


def test_a_link_to_a_module_is_followed(module_dir: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(module_dir)
    assert not (tmp_path / "latest.tar").exists()
    resolved = ModuleCache(root).resolve(str(tmp_path / "latest"))
    assert Manifest.of_directory(resolved.path) == Manifest.of_directory(module_dir)
    assert not resolved.path.is_symlink()


# --- Secrets ------------------------------------------------------------------------------------


def test_no_secret_of_a_handle_is_kept_or_shown(root: Path, module_dir: Path) -> None:
    handle = "https://ann:s3cret@hub.test/m?token=s3cret"
    resolved = ModuleCache(root, fetcher=FakeFetcher({handle: module_dir})).resolve(handle)
    assert "s3cret" not in repr(resolved) + str(resolved.handle)
    for path in root.rglob("*"):
        assert "s3cret" not in path.name
        assert not path.is_file() or b"s3cret" not in path.read_bytes()
    [record] = (root / "hub_tfx" / "handles").iterdir()
    assert json.loads(record.read_text())["handle"] == "https://hub.test/m?token=…"


# --- Processes and threads ----------------------------------------------------------------------

_RESOLVE = """
    import sys, time
    from pathlib import Path
    from hub_tfx.store.cache import ModuleCache
    from hub_tfx.module.manifest import Manifest
    {before}
    time.sleep(max(0, float(sys.argv[1]) - time.time()))
    for handle in sys.argv[3:]:
        resolved = ModuleCache(sys.argv[2], **{arguments}).resolve(handle)
        assert Manifest.of_directory(resolved.path).digest == resolved.digest
        print(resolved.digest)
"""
_NO_LOCK = """
    import filelock
    def fail(*_, **__): raise OSError(37, "No locks available")
    filelock.FileLock.acquire = fail
"""


def _resolve_in_processes(
    count: int, root: Path, handle: str, before: str = "", arguments: str = "{}"
) -> list[subprocess.CompletedProcess[str]]:
    script = textwrap.dedent(_RESOLVE).format(before=textwrap.dedent(before), arguments=arguments)
    at = str(time.time() + 1.0)  # All start together, when all are imported.
    command = [sys.executable, "-c", script, at, str(root), handle]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    return [
        subprocess.CompletedProcess(command, process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]


@pytest.mark.parametrize(
    ("count", "before", "damaged"),
    [
        (2, "", False),
        (8, "", False),
        (8, _NO_LOCK, False),
        # Not without a lock: then an entry may be away for a moment while it is mended twice.
        (4, "", True),
    ],
    ids=["two", "eight", "eight without a lock", "four at a damaged entry"],
)
def test_processes_that_race_all_get_the_module(
    count: int, before: str, damaged: bool, root: Path, module_dir: Path
) -> None:
    with serve({"/acme/text/1": module_dir}) as url:
        handle = f"{url}/acme/text/1"
        if damaged:
            (ModuleCache(root).resolve(handle).path / "saved_model.pb").unlink()
        results = _resolve_in_processes(count, root, handle, before)
    digest = Manifest.of_directory(module_dir).digest
    told = [r.stderr for r in results]
    assert [(r.returncode, r.stdout) for r in results] == [(0, f"{digest}\n")] * count, told
    assert [r.stderr for r in results if "Error" in r.stderr] == []
    assert _entries(root) == [digest]
    assert ModuleCache(root, fetcher=FakeFetcher({})).resolve(handle).cache_hit


def test_the_lock_saves_the_second_download(root: Path, module_dir: Path) -> None:
    fetcher = FakeFetcher({VERSIONED: module_dir})
    threads = [
        threading.Thread(target=ModuleCache(root, fetcher=fetcher).resolve, args=(VERSIONED,))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetcher.calls) == 1
    assert len(_entries(root)) == 1


def test_a_lock_that_is_never_released_delays_only(
    root: Path, fetcher: FakeFetcher, module_dir: Path
) -> None:
    path = root / "hub_tfx" / "locks" / f"{ModuleHandle.parse(VERSIONED).key}.lock"
    path.parent.mkdir(parents=True)
    with FileLock(path):
        cache = ModuleCache(root, fetcher=fetcher, lock_timeout_s=0.1)
        assert not cache.resolve(VERSIONED).cache_hit


def test_a_killed_process_leaves_nothing_that_matters(root: Path, module_dir: Path) -> None:
    """Killed with the lock held and half a module written; the next one starts at once."""
    before = """
        import os
        class Killed:
            def fetch(self, handle, into):
                (into / "saved_model.pb").write_bytes(b"half")
                os.kill(os.getpid(), 9)
    """
    arguments = "{'fetcher': Killed()}"
    [result] = _resolve_in_processes(1, root, VERSIONED, before, arguments)
    assert result.returncode == -9
    assert _names(root / "hub_tfx" / "modules") == []
    [lock] = (root / "hub_tfx" / "locks").glob("*.lock")
    with FileLock(lock, timeout=0):  # It is free.
        pass
    ModuleCache(root, fetcher=FakeFetcher({VERSIONED: module_dir})).resolve(VERSIONED)
    assert len(_names(root / "hub_tfx" / "modules")) == 1


def test_the_loser_of_a_race_takes_the_winners_entry(root: Path, module_dir: Path) -> None:
    class Slow(FakeFetcher):
        def fetch(self, handle: ModuleHandle, into: Path) -> None:
            super().fetch(handle, into)
            ModuleCache(root, fetcher=FakeFetcher({UNVERSIONED: module_dir})).resolve(UNVERSIONED)

    resolved = ModuleCache(root, fetcher=Slow({VERSIONED: module_dir})).resolve(VERSIONED)
    assert not resolved.cache_hit
    assert _entries(root) == [resolved.digest]


def test_scratch_of_a_careless_fetcher_stays_out_of_the_entry(root: Path, module_dir: Path) -> None:
    class Careless(FakeFetcher):
        def fetch(self, handle: ModuleHandle, into: Path) -> None:
            super().fetch(handle, into)
            (into.parent / "download").write_text("scratch")

    resolved = ModuleCache(root, fetcher=Careless({VERSIONED: module_dir})).resolve(VERSIONED)
    verdict = f"verdict-{op_list().version}.json"
    kept = ["manifest.json", "module", "spec-2.json", "stamps.json", verdict]
    assert _names(resolved.path.parent) == kept


def test_a_source_that_cannot_be_read_is_an_input_error(
    root: Path, module_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub_tfx.module.manifest.hash_file", _fail_with(errno.EACCES))
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        ModuleCache(root).resolve(str(module_dir))


def test_what_the_cache_holds_can_be_packed_again(
    cache: ModuleCache, tmp_path: Path, archive: Path
) -> None:
    resolved = cache.resolve(VERSIONED)
    pack(resolved.path, tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == archive.read_bytes()
    unpack(tmp_path / "again.tar.gz", tmp_path / "copy")
    assert Manifest.of_directory(tmp_path / "copy").digest == resolved.digest


def test_new_bytes_are_followed_or_refused_as_the_caller_says(
    root: Path, tmp_path: Path, module_dir: Path
) -> None:
    other = minimal_module(tmp_path / "other")
    (other / "new.txt").write_text("new")
    first = ModuleCache(root, fetcher=FakeFetcher({VERSIONED: module_dir})).resolve(VERSIONED)
    now = ModuleCache(root, fetcher=FakeFetcher({VERSIONED: other}))
    assert now.resolve(VERSIONED).digest == first.digest
    with pytest.raises(DigestMismatchError, match=r"its bytes have changed.*--refresh"):
        now.resolve(VERSIONED, new_bytes="refuse")
    assert now.resolve(VERSIONED).digest == first.digest
    second = now.resolve(VERSIONED, new_bytes="follow")
    assert second.digest == Manifest.of_directory(other).digest
    assert now.resolve(VERSIONED).digest == second.digest
    assert now.resolve(VERSIONED, digest=first.digest, new_bytes="follow").digest == first.digest
    assert first.path.is_dir()


@pytest.mark.parametrize(
    ("count", "size_mb"), [(4, 1), pytest.param(16, 200, marks=pytest.mark.slow)]
)
def test_many_processes_cause_one_download(
    count: int, size_mb: int, root: Path, module_dir: Path, server: Any, answer: Any, tmp_path: Path
) -> None:
    """A server that counts; each process checks every byte of what it got."""
    (module_dir / "variables" / "weights").write_bytes(os.urandom(size_mb << 20))
    pack(module_dir, tmp_path / "large.tar.gz")
    url = server.on("/m.tar.gz", answer(body=(tmp_path / "large.tar.gz").read_bytes()))
    results = _resolve_in_processes(count, root, url)
    digest = Manifest.of_directory(module_dir).digest
    assert [(r.returncode, r.stdout) for r in results] == [(0, f"{digest}\n")] * count
    assert len(server.targets) == 1
    assert _entries(root) == [digest]
