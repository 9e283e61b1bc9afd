"""Publishing that is killed, that has no room, and two publishers of one number."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import publications
import pytest
from disks import small_disk
from published import card, module, published

from hub_tfx.errors import OutputError, TakenError
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.verify import verify
from hub_tfx.repository.versions import numbers

NAME = ModuleName("acme", "words")
_CALLS = ("rename", "link")
_MORE_CALLS = (
    *("openat", "mkdir", "write", "close", "fsync", "chmod", "fchmodat", "flock", "unlink"),
    *("link", "linkat", "rename", "unlinkat", "rmdir"),
)


@pytest.mark.parametrize(
    "calls", [_CALLS, pytest.param(_MORE_CALLS, marks=pytest.mark.slow)], ids=["short", "all"]
)
def test_wherever_a_publication_is_killed_there_is_the_old_state_or_a_complete_version(
    tmp_path: Path, calls: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = [sys.executable, "-W", "ignore", publications.__file__, str(tmp_path), *calls]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True)
    if "strace: " in "".join(done.stderr.splitlines()[-1:]):
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    with capsys.disabled():
        print(f"\na publication, killed at {sum(left.values())} points, left: {left}")
    assert {"old", "new, alias old"} <= left.keys() <= {"old", "new, alias old", "new"}


@pytest.mark.parametrize("times", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_two_publishers_of_one_number_make_one_winner_and_the_other_is_told(
    memory: Path, times: int
) -> None:
    text = card(memory)
    modules = [module(memory / which, weights=which.encode()) for which in ("one", "other")]
    repository, won = memory / "repository", set[str]()

    def attempt(racer: int, number: int) -> PublishedVersion | TakenError:
        try:
            return publish(modules[racer], repository, f"acme/words{number}", card=text, version=1)
        except TakenError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        for number in range(times):
            racers = [0, 1] if number % 2 else [1, 0]
            results = list(pool.map(attempt, racers, [number] * 2))
            winners = [r for r in results if isinstance(r, PublishedVersion)]
            losers = [r for r in results if isinstance(r, TakenError)]
            assert len(winners) == 1
            assert "the next free number is 2" in str(losers[0])
            assert winners[0].created
            won.add(winners[0].digest)
    assert won == {m.digest for m in modules}
    assert verify(open_storage(repository)).damages == ()


def test_two_publishers_of_the_next_number_get_one_each(tmp_path: Path) -> None:
    text, repository = card(tmp_path), tmp_path / "repository"
    modules = [module(tmp_path / str(n), weights=str(n).encode()) for n in range(6)]
    with ThreadPoolExecutor(len(modules)) as pool:
        made = list(pool.map(lambda m: publish(m, repository, str(NAME), card=text), modules))
    assert sorted(version.version for version in made) == [1, 2, 3, 4, 5, 6]
    assert numbers(open_storage(repository), NAME) == [1, 2, 3, 4, 5, 6]


def test_two_publishers_of_the_same_bytes_make_one_version(tmp_path: Path) -> None:
    text, repository = card(tmp_path), tmp_path / "repository"
    made = module(tmp_path / "m")
    with ThreadPoolExecutor(6) as pool:
        versions = list(
            pool.map(lambda _: publish(made, repository, "acme/words", card=text), "*" * 6)
        )
    assert {version.version for version in versions} == {1}
    assert [version.created for version in versions].count(True) == 1


def test_a_full_disk_is_one_error_and_nothing_is_left(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "256k") as disk:
        repository = disk / "repository"
        published(tmp_path, repository, b"small")
        big = os.urandom(400_000)
        free = os.statvfs(disk).f_bfree
        files = sorted(disk.rglob("*"))
        with pytest.raises(OutputError, match="No space left on device; free some space"):
            published(tmp_path, repository, big, "Other/words")
        assert numbers(open_storage(repository), NAME) == [1]
        assert sorted(disk.rglob("*")) == files
        assert os.statvfs(disk).f_bfree == free
        assert published(tmp_path, repository, b"fits").version == 2
