"""Work that does not end is given up, and so is what waits for it."""

import atexit
import threading

import pytest

from hub_tfx.data import images
from hub_tfx.data.images import FileReader
from hub_tfx.embed.call import deadline
from hub_tfx.embed.call.deadline import CallThreads, Turn, within
from hub_tfx.errors import ModuleStuckError


@pytest.fixture
def never(monkeypatch):
    """An event that is set when the test is over."""
    monkeypatch.setattr(atexit, "register", lambda function: None)  # It would end the tests.
    event = threading.Event()
    yield event
    event.set()


def test_who_waits_for_a_call_that_is_stuck_fails_with_it(never, monkeypatch):
    monkeypatch.setattr(deadline, "_GRACE_S", 0.1)
    monkeypatch.setattr(deadline, "_LOOK_S", 0.05)
    turn, threads, is_stuck = Turn(), CallThreads(2), threading.Event()

    def stuck():
        with turn:
            is_stuck.set()
            deadline.call_within(0.1, never.wait)

    def waiting():
        with turn:
            raise AssertionError("it is not its turn")

    first = threads.submit(stuck)
    is_stuck.wait()
    second = threads.submit(waiting)
    for future in (second, first):
        with pytest.raises(ModuleStuckError, match=r"longer than 0\.1 s and cannot be cancelled"):
            future.result(timeout=10)


def test_loading_has_a_deadline(never):
    assert within(10, "loading m", lambda: 7) == 7
    with pytest.raises(ValueError, match="mine"):
        within(10, "loading m", lambda: int("mine"))
    with pytest.raises(ModuleStuckError, match=r"loading m took longer than 0\.1 s"):
        within(0.1, "loading m", never.wait)


def test_a_file_that_cannot_be_read_in_time_is_named_and_the_next_ones_are_read(
    never, monkeypatch, tmp_path
):
    (tmp_path / "fine").write_bytes(b"jpeg")
    read = images._read
    monkeypatch.setattr(
        images, "_read", lambda path: never.wait() if path == "hangs" else read(path)
    )
    reader = FileReader(0.5)
    late, fine = reader(["hangs", str(tmp_path / "fine")])
    assert (late, fine) == ("cannot be read: it took longer than 0.5 s", b"jpeg")
    assert reader([str(tmp_path / "fine")] * 40) == [b"jpeg"] * 40
