"""Pruning: what goes and in which order, what stays, and that whoever uses a module keeps it."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hub_tfx.cli.main import run
from hub_tfx.errors import DigestMismatchError
from hub_tfx.store import leases
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.folder import CacheFolder
from hub_tfx.store.prune import cached_modules, plan_prune, prune, quarantined
from hub_tfx.store.verify import verify_cache
from hub_tfx.testing import FakeFetcher, minimal_module

HANDLES = [f"https://hub.test/acme/text/{n}" for n in range(1, 5)]
DAY_S = 24 * 3600


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ModuleCache:
    """Four modules, of which the first was used last, each a day before the next one."""
    folder = tmp_path_factory.mktemp("filled")
    modules = {h: minimal_module(folder / str(n), dim=n + 2) for n, h in enumerate(HANDLES)}
    cache = ModuleCache(folder / "cache", fetcher=FakeFetcher(modules))
    for days, handle in enumerate(HANDLES):
        lease = cache.root / "hub_tfx" / "leases" / cache.resolve(handle).digest
        used_s = time.time() - days * DAY_S - 60
        os.utime(lease, (used_s, used_s))
    cache.release()
    return cache


@pytest.fixture
def cache(filled: ModuleCache, tmp_path: Path) -> ModuleCache:
    shutil.copytree(filled.root, tmp_path / "cache")
    return ModuleCache(tmp_path / "cache", fetcher=filled._fetcher)


@pytest.fixture
def folder(cache: ModuleCache) -> CacheFolder:
    return CacheFolder(cache.root)


def handles_of(folder: CacheFolder) -> list[str]:
    return [handle for module in cached_modules(folder) for handle in module.handles]


def test_modules_are_listed_by_their_last_use(cache: ModuleCache, folder: CacheFolder) -> None:
    assert handles_of(folder) == HANDLES
    cache.resolve(HANDLES[2])  # A hit counts as a use.
    assert handles_of(folder) == [HANDLES[n] for n in (2, 0, 1, 3)]


def test_the_least_recently_used_go_first(folder: CacheFolder) -> None:
    sizes = [module.size_bytes for module in cached_modules(folder)]
    plan = plan_prune(folder, max_size_bytes=sum(sizes[:2]))
    assert [item.handles for item in plan.modules] == [(HANDLES[3],), (HANDLES[2],)]
    assert (plan.freed_bytes, plan.kept_bytes) == (sum(sizes[2:]), sum(sizes[:2]))
    assert len(handles_of(folder)) == 4, "a plan removes nothing"
    assert prune(folder, plan) == plan
    assert handles_of(folder) == HANDLES[:2]
    assert os.listdir(folder.tmp) == []


def test_what_was_not_used_for_long_goes(folder: CacheFolder) -> None:
    prune(folder, plan_prune(folder, older_than_s=1.5 * DAY_S))
    assert handles_of(folder) == HANDLES[:2]
    assert sorted(os.listdir(folder.leases)) == sorted(os.listdir(folder.modules))


def test_what_a_lock_file_names_stays(folder: CacheFolder) -> None:
    digest = cached_modules(folder)[3].digest
    plan = plan_prune(folder, max_size_bytes=0, keep={digest})
    assert [item.kept for item in plan.modules] == ["a lock file names it", "", "", ""]
    prune(folder, plan)
    assert handles_of(folder) == [HANDLES[3]]


def test_what_this_process_resolved_stays_until_it_lets_go(
    cache: ModuleCache, folder: CacheFolder
) -> None:
    before = plan_prune(folder, max_size_bytes=0)
    module = cache.resolve(HANDLES[3])
    assert [item.kept for item in prune(folder, before).modules] == ["in use", "", "", ""]
    module.verify()
    assert plan_prune(folder, max_size_bytes=0).modules[0].kept == "in use"
    cache.release()
    prune(folder, plan_prune(folder, max_size_bytes=0))
    assert handles_of(folder) == []
    assert cache.resolve(HANDLES[3]).digest == module.digest, "and is fetched again"


_USE = """
import sys
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import FakeFetcher
print(ModuleCache(sys.argv[1], fetcher=FakeFetcher({})).resolve(sys.argv[2]).digest, flush=True)
sys.stdin.read()
"""


def test_what_another_process_uses_stays_until_it_ends_however_it_does(
    folder: CacheFolder,
) -> None:
    command = [sys.executable, "-c", _USE, str(folder.root), HANDLES[2]]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        digest = user.stdout.readline().strip()
        prune(folder, plan_prune(folder, max_size_bytes=0))
        assert [module.digest for module in cached_modules(folder)] == [digest]
        user.kill()
    prune(folder, plan_prune(folder, max_size_bytes=0))
    assert cached_modules(folder) == []


def test_a_cache_of_an_earlier_version_goes_by_the_age_of_its_entries(
    folder: CacheFolder,
) -> None:
    shutil.rmtree(folder.leases)
    old = cached_modules(folder)[0].digest
    days_ago = time.time() - 9 * DAY_S
    for path in (folder.modules / old, folder.modules / old / "manifest.json"):
        os.utime(path, (days_ago, days_ago))
    for _ in range(2):  # To plan is not to use.
        plan = plan_prune(folder, older_than_s=7 * DAY_S)
        assert [(item.digest, item.kept) for item in plan.modules] == [(old, "")]
    prune(folder, plan)
    assert len(cached_modules(folder)) == 3


def test_to_verify_is_not_to_use(folder: CacheFolder) -> None:
    before = {module.digest: module.used_s for module in cached_modules(folder)}
    verify_cache(folder)
    assert {module.digest: module.used_s for module in cached_modules(folder)} == before


def test_without_locks_nothing_is_removed(
    cache: ModuleCache, folder: CacheFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    plan = prune(folder, plan_prune(folder, max_size_bytes=0))
    assert {item.kept for item in plan.modules} == {
        "the file system cannot tell what is in use: No locks available"
    }
    assert cache.resolve(HANDLES[0]).cache_hit


def test_a_stopped_prune_delays_a_user_only(cache: ModuleCache, folder: CacheFolder) -> None:
    digest = cached_modules(folder)[0].digest
    with leases.alone(folder.leases / digest) as kept:
        assert kept == ""
        assert cache.resolve(HANDLES[0]).cache_hit


def test_a_killed_prune_leaves_what_the_next_one_removes(folder: CacheFolder) -> None:
    digest = cached_modules(folder)[0].digest
    os.rename(folder.modules / digest, folder.tmp / "pruned.0123")
    (folder.tmp / "download").mkdir()
    prune(folder, plan_prune(folder, older_than_s=100 * DAY_S))
    assert os.listdir(folder.tmp) == ["download"]


def test_new_bytes_under_the_handle_of_a_pruned_module_are_refused(
    folder: CacheFolder, tmp_path: Path
) -> None:
    prune(folder, plan_prune(folder, max_size_bytes=0))
    other = FakeFetcher({HANDLES[0]: minimal_module(tmp_path / "other", dim=99)})
    with pytest.raises(DigestMismatchError, match="its bytes have changed"):
        ModuleCache(folder.root, fetcher=other).resolve(HANDLES[0])


def damage(folder: CacheFolder, digest: str) -> None:
    """Bit rot: nothing shows it but the bytes."""
    path = folder.modules / digest / "module" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[::-1])
    stamps = folder.modules / digest / "stamps.json"
    document, now = json.loads(stamps.read_text()), path.stat()
    document["files"]["saved_model.pb"] = [
        now.st_size,
        now.st_mtime_ns,
        now.st_ino,
        now.st_ctime_ns,
    ]
    stamps.write_text(json.dumps(document))


def test_verify_reads_every_byte_and_what_is_damaged_is_fetched_again(
    cache: ModuleCache, folder: CacheFolder
) -> None:
    digest = cached_modules(folder)[1].digest
    damage(folder, digest)
    assert cache.resolve(HANDLES[1]).cache_hit
    verified = verify_cache(folder, threads=2)
    assert {f.module.digest: f.damage for f in verified if f.damage} == {
        digest: "saved_model.pb does not have the bytes that it should"
    }
    assert not cache.resolve(HANDLES[1]).cache_hit
    assert {found.damage for found in verify_cache(folder)} == {""}
    [aside] = quarantined(folder)
    assert aside.digest.startswith(digest)
    assert aside.size_bytes > 0
    prune(folder, plan_prune(folder, quarantine=True))
    assert quarantined(folder) == []
    assert len(handles_of(folder)) == 4


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: (entry / "manifest.json").write_text("{"),
        lambda entry: (entry / "module" / "saved_model.pb").unlink(),
        lambda entry: (entry / "module" / "more").write_text("x"),
    ],
)
def test_verify_names_other_damages_too(
    spoil: Callable[[Path], object], folder: CacheFolder
) -> None:
    spoil(folder.modules / cached_modules(folder)[0].digest)
    assert [bool(found.damage) for found in verify_cache(folder)] == [True, False, False, False]


# --- The commands -------------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(["cache", *arguments])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_commands_list_plan_prune_and_verify(
    folder: CacheFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ("--cache-dir", str(folder.root))
    modules = cached_modules(folder)
    status, out, _ = call(capsys, "ls", *at)
    assert (status, [line.split("\t")[0] for line in out.splitlines()[1:]]) == (
        0,
        [module.digest for module in modules],
    )
    lock = tmp_path / "lock.json"
    entry = {HANDLES[3]: {"digest": modules[3].digest}}
    lock.write_text(json.dumps({"version": 1, "modules": entry}))
    options = ("--older-than", "12h", "--lock", str(lock), *at)
    status, planned, err = call(capsys, "prune", "--dry-run", *options)
    assert (status, len(handles_of(folder))) == (0, 4)
    assert f"{modules[3].digest}\t" in planned
    assert "a lock file names it" in planned
    freed = sum(module.size_bytes for module in modules[1:3])
    assert f"{freed} bytes would be freed" in err
    status, out, err = call(capsys, "prune", *options)
    assert (status, out, handles_of(folder)) == (0, planned, [HANDLES[0], HANDLES[3]])
    assert f"{freed} bytes freed" in err
    assert call(capsys, "verify", *at)[0] == 0
    damage(folder, modules[0].digest)
    status, out, err = call(capsys, "verify", *at)
    assert (status, "does not have the bytes" in out) == (5, True)
    assert "1 of 2 modules in the cache" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say what to remove"),
        (("--max-size", "10 apples"), "is not a size"),
        (("--max-size", "ten"), "is not a size"),
        (("--older-than", "30"), "is not a time"),
        (("--max-size", "1GB", "--lock", "/no/lock"), "/no/lock"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    arguments: tuple[str, ...],
    told: str,
    folder: CacheFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = call(capsys, "prune", *arguments, "--cache-dir", str(folder.root))
    assert (status, told in err) == (2, True)
    assert len(handles_of(folder)) == 4


@pytest.mark.parametrize(
    ("text", "size"), [("10", 10), ("1.5KB", 1500), ("2GiB", 2 << 30), ("1tb", 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    from hub_tfx.cli.units import Size

    assert Size().convert(text, None, None) == size
