"""What is said of a job while it runs."""

import re
import time

import pytest

from hub_tfx.cli import progress as shown
from hub_tfx.cli.progress import _Lines, shown_progress
from hub_tfx.embed.progress import Progress


@pytest.fixture
def counts():
    return Progress(rows=5)  # Of an earlier job in this process.


def test_before_the_first_call_there_is_the_time(counts):
    assert _Lines(counts, 100.0).line(103.4) == "working, 3 s"


def test_the_rate_is_that_since_the_first_call_and_later_of_half_a_minute(counts):
    lines = _Lines(counts, 0.0)
    lines.line(10.0)  # The module is loaded.
    counts.rows += 20
    assert lines.line(12.0) == "20 rows, 10 rows/s, 0 rejected, working, 12 s"
    for second in range(13, 60):
        counts.rows += 100
        lines.line(float(second))
    assert " 100 rows/s, " in lines.line(59.0)


def test_where_the_rows_are_known_the_time_left_is_told(counts):
    lines = _Lines(counts, 0.0)
    counts.expect(1_000)
    lines.line(1.0)
    counts.rows += 90
    counts.dead_letters += 10
    assert lines.line(2.0) == "100 of 1,000 rows, 100 rows/s, 0:09 left, 10 rejected, working, 2 s"
    counts.expect(720_000)
    counts.rows += 100
    assert ", 1:59:59 left, " in lines.line(3.0)


def test_a_pipe_gets_a_line_soon_after_the_first_call_and_then_at_intervals(
    monkeypatch, capsys, counts
):
    monkeypatch.setattr(shown, "IN_THIS_PROCESS", counts)
    monkeypatch.setattr(shown, "_LIVE_EVERY_S", 0.01)
    monkeypatch.setattr(shown, "_FIRST_AFTER_S", 0.05)
    with shown_progress():
        time.sleep(0.1)
        assert capsys.readouterr().err == ""
        counts.rows += 7
        told = ""
        while not told:
            time.sleep(0.01)
            told = capsys.readouterr().err
        time.sleep(0.1)
        told += capsys.readouterr().err
    (line,) = told.splitlines()
    assert re.fullmatch(r"hub-tfx: 7 rows, \d+ rows/s, 0 rejected, working, \d+ s", line)
