"""Times of runs: read once, and written so that every engine means the same."""

import calendar
import re
import shutil
import subprocess
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import UsageError
from hub_tfx_kubeflow.schedule.checks import check_name, check_timezone
from hub_tfx_kubeflow.schedule.cron import Cron

MONTHS = [name.lower() for name in calendar.month_abbr[1:]]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "SUN"]
"""Names by number, where Sunday is 0 and 7."""
SUNDAY = 7
MONTH_DAYS = [calendar.monthrange(2028, month)[1] for month in range(1, 13)]


@st.composite
def parts(draw, least, most, names=()):
    """A part of a field, and the numbers that it stands for."""
    first = draw(st.integers(least, most))
    last = draw(st.integers(first, most))
    step = draw(st.integers(1, 20))

    def shown(number, first=0):
        # Sunday is 7 by name only where a range ends with it that Monday or a later day begins.
        if draw(st.booleans()) and number < len(names) and (number < SUNDAY or 0 < first < SUNDAY):
            return names[number]
        return f"{number:0{draw(st.integers(1, 2))}}"

    return draw(
        st.sampled_from(
            [
                (shown(first), {first}),
                (f"{shown(first)}-{shown(last, first)}", {*range(first, last + 1)}),
                (f"{shown(first)}-{shown(last, first)}/{step}", {*range(first, last + 1, step)}),
                (f"{least}-{most}/{step}", {*range(least, most + 1, step)}),
            ]
        )
    )


def fields(least, most, names=()):
    """A field, and the numbers that it stands for; ``*`` stands for every number."""
    some = st.lists(parts(least, most, names), min_size=1, max_size=4).map(
        lambda found: (",".join(text for text, _ in found), set().union(*(n for _, n in found)))
    )
    return st.one_of(st.just(("*", {*range(least, most + 1)})), some)


NAMES_OF_MONTHS = ["", *MONTHS]
CRONS = st.tuples(
    fields(0, 59),
    fields(0, 23),
    fields(1, 31),
    fields(1, 12, NAMES_OF_MONTHS),
    fields(0, 7, WEEKDAYS),
)


def is_due(when, drawn):
    """Whether a crontab starts a run at a minute, by the numbers of the fields and their texts."""
    minutes, hours, days, months, weekdays = (numbers for _, numbers in drawn)
    by_day = when.day in days
    by_weekday = not {(when.weekday() + 1) % 7, when.isoweekday()}.isdisjoint(weekdays)
    is_either = drawn[2][0] != "*" and drawn[4][0] != "*"
    is_day = by_day or by_weekday if is_either else by_day and by_weekday
    return when.minute in minutes and when.hour in hours and when.month in months and is_day


def parsed(drawn):
    """The cron of drawn fields; None where it never happens, as on the 31st of June."""
    text = " ".join(text for text, _ in drawn)
    days, months = drawn[2][1], drawn[3][1]
    if drawn[4][0] != "*" or min(days) <= max(MONTH_DAYS[month - 1] for month in months):
        return Cron.parse(text)
    with pytest.raises(UsageError, match="never happens"):
        Cron.parse(text)
    return None


def due_by(cron, when):
    by_day, by_weekday = when.day in cron.days, when.isoweekday() % 7 in cron.weekdays
    is_either = len(cron.days) < 31 and len(cron.weekdays) < 7
    is_day = by_day or by_weekday if is_either else by_day and by_weekday
    time = when.minute in cron.minutes and when.hour in cron.hours and when.month in cron.months
    return time and is_day


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1))


@given(CRONS, st.lists(MOMENTS, min_size=1, max_size=20))
def test_a_run_is_due_when_a_crontab_says_so(drawn, moments):
    cron = parsed(drawn)
    for moment in moments:
        assert (cron is not None and due_by(cron, moment)) == is_due(moment, drawn)


@given(CRONS)
def test_what_is_written_is_read_as_the_same_and_needs_no_names(drawn):
    cron = parsed(drawn)
    if cron is not None:
        assert Cron.parse(str(cron)) == cron
        assert set(str(cron)) <= set("0123456789*,- ")
        assert cron.with_seconds == f"0 {cron}"


def elapses(events, start, number):
    """When a timer elapses, by systemd itself."""
    found = set()
    for event in events:
        command = ["systemd-analyze", "calendar", f"--iterations={number}", f"{event} UTC"]
        command.append(f"--base-time={start:%Y-%m-%d %H:%M:%S} UTC")
        done = subprocess.run(command, capture_output=True, text=True, env={"TZ": "UTC"})
        assert done.returncode == 0, (event, done.stderr)
        for line in done.stdout.splitlines():
            label, _, text = line.partition(": ")
            if re.fullmatch(r"\s*(Next elapse|Iter\. #\d+)", label) and text.strip() != "never":
                found.add(datetime.strptime(text.strip(), "%a %Y-%m-%d %H:%M:%S %Z"))
    return sorted(found)[:number]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@settings(max_examples=40, deadline=None)
@given(CRONS, st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)))
def test_systemd_means_the_same(drawn, start):
    cron = parsed(drawn)
    if cron is None:
        return
    start = start.replace(microsecond=0)
    due = elapses(cron.calendar(), start, 5)
    assert due
    assert all(is_due(moment, drawn) for moment in due)
    minute, end = start.replace(second=0) + timedelta(minutes=1), min(due[-1], start + timedelta(7))
    expected = []
    while minute <= end:
        if is_due(minute, drawn):
            expected.append(minute)
        minute += timedelta(minutes=1)
    assert [moment for moment in due if moment <= end] == expected[:5]


@pytest.mark.parametrize(
    ("text", "written", "events"),
    [
        ("0 2 * * *", "0 2 * * *", ["*-*-* 02:00:00"]),
        ("*/15 * * * *", "0,15,30,45 * * * *", ["*-*-* *:00,15,30,45:00"]),
        ("5 6-18/4 * jan,JUL *", "5 6,10,14,18 * 1,7 *", ["*-01,07-* 06,10,14,18:05:00"]),
        ("0 0 * * MON-FRI", "0 0 * * 1-5", ["Mon..Fri *-*-* 00:00:00"]),
        ("0 0 * * 7", "0 0 * * 0", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * FRI-SUN", "0 0 * * 0,5,6", ["Fri..Sun *-*-* 00:00:00"]),
        ("0 0 1-7 * *", "0 0 1-7 * *", ["*-*-01..07 00:00:00"]),
        ("0 0 1 * MON", "0 0 1 * 1", ["*-*-01 00:00:00", "Mon *-*-* 00:00:00"]),
        ("0 0 1-31 * MON", "0 0 * * *", ["*-*-* 00:00:00"]),
        ("0 0 */1 * MON", "0 0 * * 1", ["Mon *-*-* 00:00:00"]),
        ("0 0 29 2 *", "0 0 29 2 *", ["*-02-29 00:00:00"]),
        (" 0\t2  * * * ".strip().replace("\t", " "), "0 2 * * *", ["*-*-* 02:00:00"]),
    ],
)
def test_cron_is_written_for_engines(text, written, events):
    cron = Cron.parse(text)
    assert str(cron) == written
    assert [*cron.calendar()] == events
    zoned = [*cron.calendar("Europe/Berlin")]
    assert zoned == [f"{event} Europe/Berlin" for event in events]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "'' is not a time: give minute, hour, day of the month, month and weekday"),
        ("0 2 * *", "is not a time"),
        ("0 0 2 * * *", "is not a time"),
        ("@daily", "is not a time"),
        ("0 2 * * *\n", "is not a time"),
        ("0 2 * * * " * 100, "is not a time"),
        ("60 2 * * *", "'60' is not a minute: it takes 0-59"),
        ("0 24 * * *", "'24' is not a hour"),
        ("0 2 0 * *", "'0' is not a day of the month: it takes 1-31"),
        ("0 2 * 13 *", "'13' is not a month: it takes 1-12 or jan-dec"),
        ("0 2 * * 8", "'8' is not a weekday: it takes 0-7 or sun-sat"),
        ("0 2 * * TUES", "nearest: tue"),
        ("0 2 * * MON-", "'MON-' is not a weekday: give numbers, ranges and steps"),
        ("0 2 * * ,", "'' is not a weekday"),
        ("0 2 * * ?", "'?' is not a weekday"),
        ("0 2 L * *", "'L' is not a day of the month"),
        ("*-5 2 * * *", "'*-5' is not a minute"),
        ("-1 2 * * *", "'-1' is not a minute"),
        ("٣ 2 * * *", "is not a minute"),
        ("*/0 2 * * *", "a step is at least 1"),
        ("5/10 2 * * *", "some engines take no step there: give 5-59/10"),
        ("0 5-2 * * *", "'5-2' is not a hour: a range goes upward"),
        ("0 2 31 4,6 *", "never happens: no such month has 31 days"),
        ("0 2 */2 * MON", "'*/2' together with 'MON' means one of the two days to some engines"),
        ("0 2 1 * */2", "'*/2' together with '1' means one of the two days"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, complaint):
    with pytest.raises(UsageError) as refused:
        Cron.parse(text)
    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 400


@given(st.text(max_size=30))
def test_no_text_is_more_than_refused(text):
    with suppress(UsageError):
        Cron.parse(text)


def test_a_name_is_one_that_kubernetes_takes():
    assert check_name("retrain-2") == "retrain-2"
    for name in ("", "Retrain", "2retrain", "retrain-", "re train", "a" * 41, "a/b", "ä"):
        with pytest.raises(UsageError, match="is not a name for a schedule: give --name with"):
            check_name(name)


def test_a_time_zone_is_one_of_the_database():
    assert check_timezone("Europe/Berlin") == "Europe/Berlin"
    for name in ("Europe/Belin", "", "../../etc/passwd", "CEST"):
        with pytest.raises(UsageError, match="is not a time zone: give one such as Europe/Berlin"):
            check_timezone(name)
    with pytest.raises(UsageError, match="nearest: America/New_York"):
        check_timezone("america/new york")
