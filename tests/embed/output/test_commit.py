"""A commit that is killed, retried, disturbed: an earlier output or the new one, always one."""

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import commits
import pytest
from commits import check_nothing_else, committing, embed, layout_of, numbers_in, write_parts
from disks import small_disk

from hub_tfx.embed.output import lease as leases
from hub_tfx.embed.output.described import files_of_description
from hub_tfx.embed.output.directory import output_directory
from hub_tfx.embed.output.lease import Lease
from hub_tfx.errors import HubTfxError, IncompleteError, OutputError, RejectedRowsError
from hub_tfx.testing.misbehaving import MisbehavingFileSystem, misbehaving
from hub_tfx.testing.remote import RemoteFileSystem

_FIRST, _SECOND = [[1, 2], [3]], [[10], [20, 30]]
_BUCKET = "misbehaving://out"
_CALLS = ["rename", "unlink", "mkdir", "fsync"]
_MORE_CALLS = [*_CALLS, "write", "openat", "close", "newfstatat", "rmdir"]


@pytest.fixture
def bucket(tmp_path):
    """Where the files of ``misbehaving://`` lie."""
    with MisbehavingFileSystem.at(tmp_path / "bucket"):
        yield tmp_path / "bucket"


@pytest.fixture
def quick_lease(monkeypatch):
    monkeypatch.setattr(leases, "_BEAT_S", 0.05)
    monkeypatch.setattr(leases, "_LEASE_S", 0.4)
    monkeypatch.setattr(leases, "_LOOK_S", 0.02)


# --- Killed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "calls", [_CALLS, pytest.param(_MORE_CALLS, marks=pytest.mark.slow)], ids=["short", "all"]
)
def test_wherever_a_commit_is_killed_one_output_is_whole(tmp_path, calls, capsys):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    command = [sys.executable, "-W", "ignore", commits.__file__, str(tmp_path), *calls]
    done = subprocess.run(command, capture_output=True, text=True)
    if "strace: " in done.stderr.splitlines()[-1:]:
        pytest.skip(done.stderr)  # Processes may not be traced here.
    assert done.returncode == 0, done.stderr
    left = Counter()
    for call, found, count in json.loads(done.stdout):
        left[found] += count
        left[call] += count
    points = sum(left[call] for call in calls)
    with capsys.disabled():
        print(f"\nembed's commit, killed at {points} system calls: {left['earlier']} left the")
        print(f"earlier output, {left['new']} the new one, {left['none']} none of them")
    assert left["none"] == 0
    assert left["earlier"]
    assert left["new"]
    assert points > len(calls)


# --- Retried ------------------------------------------------------------------------------------


def test_a_commit_that_is_tried_again_after_its_end_changes_nothing(tmp_path):
    layout = layout_of(tmp_path / "out")
    commit, written = committing(layout), write_parts(layout, _SECOND)
    (first,) = commit(*written)
    assert commit(*written) == [first]
    assert numbers_in(tmp_path / "out") == _SECOND


def requests_of_a_commit(bucket):
    """How many requests a second commit makes, and what to do for each of them."""
    embed(_BUCKET, _FIRST, "f0")
    layout = layout_of(_BUCKET, "f1")
    written = write_parts(layout, _SECOND)
    shutil.copytree(bucket, bucket.parent / "before")

    def commit(**faults):
        shutil.rmtree(bucket)
        shutil.copytree(bucket.parent / "before", bucket)
        with misbehaving(**faults) as seen:
            try:
                committing(layout, "f1")(*written)
            except (HubTfxError, OSError):
                assert numbers_in(_BUCKET) in (_FIRST, _SECOND)
        return len(seen.requests)

    return commit(), commit, lambda: committing(layout, "f1")(*written)


@pytest.mark.parametrize("fault", ["fails", "loses_answer"])
def test_whichever_request_fails_one_output_is_whole_and_another_try_is_right(bucket, fault):
    requests, commit, again = requests_of_a_commit(bucket)
    assert requests > 20
    for number in range(1, requests + 1):
        commit(**{fault: number})
        assert numbers_in(_BUCKET) in (_FIRST, _SECOND), number
        again()
        assert numbers_in(_BUCKET) == _SECOND, number
        embed(_BUCKET, _SECOND, "f2")
        check_nothing_else(_BUCKET)


@pytest.mark.parametrize("lists_late", [1, 3, 100])
def test_a_bucket_that_lists_what_was_there_before_gets_a_whole_output(bucket, lists_late):
    requests_of_a_commit(bucket)[1](lists_late=lists_late)
    assert numbers_in(_BUCKET) == _SECOND
    embed(_BUCKET, _FIRST, "f3")
    assert numbers_in(_BUCKET) == _FIRST
    check_nothing_else(_BUCKET)


@pytest.mark.parametrize("stands", ["nothing", "another file"])
def test_a_part_that_is_gone_is_not_taken_for_moved(tmp_path, stands):
    layout = layout_of(tmp_path / "out")
    commit, (parts, blocks) = committing(layout), write_parts(layout, _SECOND)
    commit(parts, blocks)
    (moved,) = (tmp_path / "out").glob("embeddings-00000-*")
    moved.unlink() if stands == "nothing" else moved.write_bytes(b"of an earlier output")
    with pytest.raises(IncompleteError, match=r"the part for .*embeddings-00000-.* is gone"):
        commit(parts, blocks)


def test_a_damaged_file_under_the_name_of_a_part_is_replaced(tmp_path):
    embed(tmp_path / "out", _FIRST)
    (part,) = (tmp_path / "out").glob("embeddings-00000-*")
    part.write_bytes(b"damaged")
    embed(tmp_path / "out", _FIRST)
    assert numbers_in(tmp_path / "out") == _FIRST


def test_rejected_rows_leave_the_whole_earlier_output(tmp_path):
    output = tmp_path / "out"
    embed(output, _FIRST)
    for numbers in (_SECOND, [[7]]):
        layout = layout_of(output, "f1")
        with pytest.raises(RejectedRowsError):
            committing(layout, "f1", max_dead_letter_ratio=0)(*write_parts(layout, numbers))
        assert numbers_in(output) == _FIRST
        assert len(list((output / "dead_letters").iterdir())) == 2
    embed(output, _SECOND)
    check_nothing_else(output)


# --- Two runs into one bucket -------------------------------------------------------------------


def test_a_second_run_is_refused_and_leaves_the_first_one_alone(bucket, quick_lease):
    layout = layout_of(_BUCKET, "f0")
    with output_directory(_BUCKET, layout, "f0") as lease:
        written = write_parts(layout, _FIRST)
        with pytest.raises(OutputError, match=r"another run is writing to .*process \d+ on"):
            embed(_BUCKET, _SECOND, "f1")
        committing(layout, "f0", lease)(*written)
    assert numbers_in(_BUCKET) == _FIRST
    check_nothing_else(_BUCKET)


def test_what_a_killed_run_left_is_taken_over(bucket, quick_lease):
    killed = '{"run": "f0", "host": "h", "pid": 1, "beats": 7}'
    (bucket / "out" / ".tmp-f0").mkdir(parents=True)
    (bucket / "out" / ".tmp-f0" / "part").write_text("half")
    (bucket / "out" / ".tmp-run.json").write_text(killed)
    embed(_BUCKET, _SECOND, "f1")
    assert numbers_in(_BUCKET) == _SECOND
    check_nothing_else(_BUCKET)


def run_into(layout, run, between=lambda lease: None):
    """A run, in which something happens before it commits."""
    with output_directory(layout.folders["embeddings"], layout, run) as lease:
        written = write_parts(layout, _SECOND)
        between(lease)
        committing(layout, run, lease)(*written)


def error_of(attempt):
    """What an OutputError says; None where there is none."""
    try:
        attempt()
    except OutputError as error:
        return str(error)
    return None


def test_of_runs_that_come_at_one_moment_no_two_commit(bucket, quick_lease):
    """Another run comes before each request of the start of this one."""
    embed(_BUCKET, _FIRST, "f9")
    for number in range(1, 12):
        layout = layout_of(_BUCKET, "f0")
        other = Lease(f"{_BUCKET}/.tmp-run.json", "f1")

        def come(now, number=number, other=other):
            if now == number:
                leases.write_bytes(other.path, leases._content(other, 0))

        with misbehaving(before=come):
            refused = error_of(lambda layout=layout: run_into(layout, "f0"))
        if refused:
            assert "another run" in refused
            assert numbers_in(_BUCKET) == _FIRST
        else:
            assert "another run" in error_of(other.check)
        for path in bucket.rglob(".tmp-run.json"):
            path.unlink()
        embed(_BUCKET, _FIRST, "f9")


def test_a_run_that_was_taken_over_does_not_commit(bucket, quick_lease):
    embed(_BUCKET, _FIRST, "f9")

    def take_over(lease):
        leases.write_bytes(lease.path, leases._content(Lease(lease.path, "f1"), 0))

    with pytest.raises(OutputError, match=r"has taken .* over, so this one does not commit"):
        run_into(layout_of(_BUCKET, "f0"), "f0", take_over)
    assert numbers_in(_BUCKET) == _FIRST


def test_a_lease_is_renewed_and_ends_with_its_run(bucket, quick_lease):
    with leases.sole_writer(_BUCKET, "f0") as lease:
        seen = {(bucket / "out/.tmp-run.json").read_text()}
        renewed = threading.Event()
        while len(seen) < 3 and not renewed.wait(0.02):
            seen.add((bucket / "out/.tmp-run.json").read_text())
        lease.check()
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_filesystem_that_can_create_a_file_only_once_lets_one_run_in(bucket, monkeypatch):
    from hub_tfx.data import filesystems

    created = []

    def create(path, content):
        created.append(path)
        return len(created) == 1

    monkeypatch.setitem(filesystems._CREATE_NEW, "misbehaving", create)
    with leases.sole_writer(_BUCKET, "f0"):
        (bucket / "out/.tmp-run.json").unlink()
        with (
            pytest.raises(OutputError, match="another run is writing"),
            leases.sole_writer(_BUCKET, "f1"),
        ):
            raise AssertionError("two runs were let in")


# --- One machine --------------------------------------------------------------------------------


def test_where_the_filesystem_has_no_locks_a_rerun_after_a_kill_is_not_refused(
    tmp_path, monkeypatch
):
    import errno
    import fcntl

    def no_flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_flock)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".tmp-lock").write_text("1234\nhost\n")  # As a killed run left it.
    embed(tmp_path / "out", _SECOND)
    assert numbers_in(tmp_path / "out") == _SECOND


@pytest.fixture
def full_disk(tmp_path):
    """A filesystem of 64 KB, on which a function takes what is free but for some bytes."""

    def fill():
        with open(folder / "filler", "wb") as file:
            try:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
            except OSError:
                pass

    with small_disk(tmp_path / "disk", "64k") as folder:
        yield folder, fill


def test_a_disk_that_is_full_at_the_manifest_leaves_the_earlier_output(full_disk):
    folder, fill = full_disk
    output = folder / "out"
    embed(output, _FIRST, "f0")
    with pytest.raises(OutputError, match=r"cannot write to .*No space left on device"):
        run_into(layout_of(output, "f1"), "f1", lambda _: fill())
    assert numbers_in(output) == _FIRST
    (folder / "filler").unlink()
    embed(output, _SECOND, "f2")
    check_nothing_else(output)


# --- What is not ours ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["here", "in a bucket"])
@pytest.mark.parametrize(
    "name",
    [
        "report/thesis.txt",
        "report/report.json",
        "projector/mine.tsv",
        "projector/projector_config.pbtxt",
        "dead_letters/notes.txt",
        "digests/sub/digests-00000-of-00001.bin",
        "manifest.json",
        "data.txt",
        ".tmp-mine/x",
    ],
)
def test_what_hub_tfx_did_not_write_is_refused_and_stays(tmp_path, where, name):
    folder = tmp_path / "out"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text('{"mine": 1}')
    output = str(folder) if where == "here" else "remote://out"
    with (
        RemoteFileSystem.at(tmp_path),
        pytest.raises(OutputError, match=rf"holds '{name}', which hub-tfx did not write"),
    ):
        embed(output, _FIRST)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [folder / name]


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", '"text"', "\xff"])
def test_a_manifest_that_cannot_be_read_is_not_ours(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content, "latin-1")
    with pytest.raises(OutputError, match=r"holds 'manifest.json', which hub-tfx did not write"):
        embed(tmp_path, _FIRST)


def test_the_list_of_a_folder_names_files_of_that_folder_only(tmp_path):
    (tmp_path / "report").mkdir()
    listed = ["page.html", "..", ".", "", "/etc/hostname", "../x", "a/b", "a\0b", 7, None]
    content = json.dumps({"made_by": "hub_tfx", "files": listed})
    (tmp_path / "report" / ".hub_tfx.json").write_text(content)
    ours = files_of_description(str(tmp_path), "report")
    assert ours == {".hub_tfx.json", "page.html"}


def test_a_link_in_the_place_of_a_folder_of_ours_is_not_followed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match="holds 'report'"):
        embed(tmp_path / "out", _FIRST)


def test_what_a_killed_commit_left_half_written_is_ours(tmp_path):
    output = tmp_path / "out"
    embed(output, _FIRST)
    (output / f".manifest.json.{'0' * 32}.tmp").write_text("{")
    embed(output, _SECOND)
    check_nothing_else(Path(output))
