"""Ranges and conditions against what RFC 9110 says of them."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.web.conditions import MAX_RANGES, Representation, parse_ranges, select

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
WHAT = Representation(100, '"tag"', WHEN)
LATER = Representation(100, '"tag"', WHEN + timedelta(seconds=1)).last_modified
EARLIER = Representation(100, '"tag"', WHEN - timedelta(seconds=1)).last_modified


@given(st.integers(0, 50), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=3))
def test_ranges_are_what_slices_are(size: int, bounds: list[tuple[int, int]]) -> None:
    whole = bytes(range(size))
    header = "bytes=" + ",".join(f"{first}-{first + more}" for first, more in bounds)
    ranges = parse_ranges(header, size)
    if not bounds:
        assert ranges is None
        return
    wanted = [part for first, more in bounds if (part := whole[first : first + more + 1])]
    if len(wanted) > 1 and sum(map(len, wanted)) > size:
        assert ranges is None
    else:
        assert ranges is not None
        assert [whole[start:stop] for start, stop in ranges] == wanted


@given(st.text(max_size=40) | st.from_regex(r"bytes=[-0-9, ]*", fullmatch=True))
def test_any_header_gives_ranges_within_the_file_or_none(header: str) -> None:
    for start, stop in parse_ranges(header, 10) or []:
        assert 0 <= start < stop <= 10


@pytest.mark.parametrize(
    "header",
    [
        *("bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "items=0-1", "bytes 0-1", "bytes=0-1,x"),
        *("", "bytes=" + ",".join(["0-0"] * (MAX_RANGES + 1)), "bytes=-99999999999999999999"),
    ],
)
def test_a_header_that_cannot_be_read_is_ignored(header: str) -> None:
    assert parse_ranges(header, 100) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=-0", "bytes=200-300,100-"])
def test_ranges_beyond_the_file(header: str) -> None:
    assert select("GET", {"range": header}, WHAT).status == 416


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-none-match": '"tag"'}, 304),
        ({"if-none-match": 'W/"tag"'}, 304),
        ({"if-none-match": '"a", "tag"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"other"', "if-modified-since": LATER}, 200),
        ({"if-modified-since": WHAT.last_modified}, 304),
        ({"if-modified-since": EARLIER}, 200),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-match": '"tag"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": 'W/"tag"'}, 412),
        ({"if-unmodified-since": EARLIER}, 412),
        ({"range": "bytes=0-1", "if-range": WHAT.last_modified}, 206),
        ({"range": "bytes=0-1", "if-range": LATER}, 200),
        ({"range": "bytes=0-1", "if-range": 'W/"tag"'}, 200),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    assert select("GET", headers, WHAT).status == status


def test_head_knows_no_ranges() -> None:
    assert select("HEAD", {"range": "bytes=0-1"}, WHAT).status == 200
