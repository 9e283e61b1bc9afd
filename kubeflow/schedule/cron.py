"""Times at which runs start: five fields as in a crontab, read once and written for every engine.

Engines read the corners differently: some know no names of days or no 7 for Sunday, and `*/2` as
day of the month together with a weekday means `and` to one and `or` to another. What they are given
holds numbers, lists and ranges only, which mean the same to all; what cannot be said so is refused.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hub_tfx._text import hint, nearest, quoted
from hub_tfx.errors import UsageError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SYSTEMD_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of each month, from January."""
_EVERY = ("*", "*/1")
_MAX_CHARS = 500
_PART = re.compile(r"(?P<first>\*|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]{1,3}))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True)
class _Field:
    """What one of the five fields takes.

    Attributes:
      name: what it is, in words.
      least, most: range of its numbers.
      names: names of its numbers, from ``least``.
    """

    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        return tuple(range(self.least, self.most + 1))


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of the month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_WEEKDAY = _Field("weekday", 0, 6, _WEEKDAYS)
_FIELDS = (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)
_SUNDAY = 7
"""The other number of Sunday, besides 0."""


@dataclass(frozen=True)
class Cron:
    """When runs start. ``str`` and ``parse`` are each other's inverse.

    A run starts at each minute whose minute, hour and month are among these, on each day that
    matches: by day and weekday, or, where both are restricted, by one of the two.

    Attributes:
      minutes, hours, days, months: numbers in ascending order.
      weekdays: the same, with 0 for Sunday.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Reads minute, hour, day of the month, month and weekday.

        Each is ``*``, or a list of numbers, names and ranges, each with a step or without one:
        ``0 6-18/2 * JAN,JUL MON-FRI``.

        Raises:
          UsageError: it is not that, never happens, or means different times to different engines.
        """
        fields = text[: _MAX_CHARS + 1].split()
        if len(fields) != len(_FIELDS) or len(text) > _MAX_CHARS or not text.isprintable():
            raise UsageError(
                f"{quoted(text)} is not a time: give minute, hour, day of the month, month and "
                "weekday, such as '0 2 * * *' for each night at 2"
            )
        made = cls(*(_parsed(name, field) for name, field in zip(fields, _FIELDS, strict=True)))
        made = made._with_days(fields[2], fields[4])
        made._check_happens(text)
        return made

    def _with_days(self, days: str, weekdays: str) -> "Cron":
        """The same, where a day field that lists every day is told from one that is ``*``."""
        if days in _EVERY or weekdays in _EVERY:
            return self
        for written, other in ((days, weekdays), (weekdays, days)):
            if written.startswith("*"):
                raise UsageError(
                    f"{quoted(written)} together with {quoted(other)} means one of the two days to "
                    "some engines and both to others: give one of them as *, or list the days"
                )
        if self.days == _DAY.all or self.weekdays == _WEEKDAY.all:
            return Cron(self.minutes, self.hours, _DAY.all, self.months, _WEEKDAY.all)
        return self

    def _check_happens(self, text: str) -> None:
        longest = max(_LONGEST[month - 1] for month in self.months)
        if self.weekdays == _WEEKDAY.all and min(self.days) > longest:
            raise UsageError(f"{quoted(text)} never happens: no such month has {self.days[0]} days")

    def __str__(self) -> str:
        return " ".join(_written(values, field) for values, field in self._fields)

    @property
    def with_seconds(self) -> str:
        """Six fields, seconds first, as Kubeflow Pipelines takes them."""
        return f"0 {self}"

    def calendar(self, timezone: str | None = None) -> Iterator[str]:
        """The events of systemd that together are these times, each for an OnCalendar=.

        To systemd a day must match by date and by weekday, so that there are two events where one
        of the two is enough.
        """
        if _DAY.all != self.days and _WEEKDAY.all != self.weekdays:
            yield self._event(self.days, (), timezone)
            yield self._event(_DAY.all, self.weekdays, timezone)
        else:
            yield self._event(self.days, self.weekdays, timezone)

    def _event(self, days: tuple[int, ...], weekdays: tuple[int, ...], timezone: str | None) -> str:
        week = () if weekdays == _WEEKDAY.all else sorted((day - 1) % 7 for day in weekdays)
        parts = [
            ",".join(_ranges(week, "..", _SYSTEMD_WEEKDAYS.__getitem__)),
            f"*-{_in_systemd(self.months, _MONTH)}-{_in_systemd(days, _DAY)}",
            f"{_in_systemd(self.hours, _HOUR)}:{_in_systemd(self.minutes, _MINUTE)}:00",
            timezone or "",
        ]
        return " ".join(filter(None, parts))

    @property
    def _fields(self) -> Iterable[tuple[tuple[int, ...], _Field]]:
        values = (self.minutes, self.hours, self.days, self.months, self.weekdays)
        return zip(values, _FIELDS, strict=True)


def _parsed(text: str, field: _Field) -> tuple[int, ...]:
    """The numbers of a field, in ascending order."""
    values = {value for part in text.split(",") for value in _part(part, field)}
    return tuple(sorted({v % _SUNDAY for v in values} if field is _WEEKDAY else values))


def _part(part: str, field: _Field) -> Sequence[int]:
    found = _PART.fullmatch(part)
    if found is None or (found["first"] == "*" and found["last"]):
        raise _wrong(part, field)
    step = int(found["step"] or 1)
    if step == 0:
        raise _wrong(part, field, "a step is at least 1")
    if found["first"] == "*":
        return range(field.least, field.most + 1, step)
    first = _number(found["first"], part, field)
    if found["last"] is None:
        if found["step"] is not None:
            whole = f"{found['first']}-{field.most}/{step}"
            raise _wrong(part, field, f"some engines take no step there: give {whole}")
        return (first,)
    last = _number(found["last"], part, field)
    if last == 0 and field is _WEEKDAY and first > 0:  # FRI-SUN; 0 is also the first day.
        last = _SUNDAY
    if last < first:
        raise _wrong(part, field, "a range goes upward")
    return range(first, last + 1, step)


def _number(text: str, part: str, field: _Field) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.least
    most = _SUNDAY if field is _WEEKDAY else field.most
    if _NUMBER.fullmatch(text) and field.least <= int(text) <= most:
        return int(text)
    near = "" if text.isdigit() else hint(nearest(text, field.names))
    raise _wrong(part, field, f"it takes {_takes(field)}{near}")


def _takes(field: _Field) -> str:
    numbers = f"{field.least}-{_SUNDAY if field is _WEEKDAY else field.most}"
    return f"{numbers} or {field.names[0]}-{field.names[-1]}" if field.names else numbers


def _wrong(part: str, field: _Field, why: str = "give numbers, ranges and steps") -> UsageError:
    return UsageError(f"{quoted(part)} is not a {field.name}: {why}")


def _written(values: Sequence[int], field: _Field) -> str:
    return "*" if tuple(values) == field.all else ",".join(_ranges(values, "-", str))


def _in_systemd(values: Sequence[int], field: _Field) -> str:
    return "*" if tuple(values) == field.all else ",".join(_ranges(values, "..", "{:02}".format))


def _ranges(values: Sequence[int], dash: str, shown: Callable[[int], str]) -> Iterator[str]:
    """Numbers in ascending order, with three and more in a row as a range."""
    start = 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] == values[end - 1] + 1:
            continue
        run = values[start:end]
        start = end
        if len(run) > 2:
            yield f"{shown(run[0])}{dash}{shown(run[-1])}"
        else:
            yield from map(shown, run)
