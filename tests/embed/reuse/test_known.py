"""Digests tell rows apart, and known rows are found by them and given back as they were."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed import digests
from hub_tfx.embed.limits import EmbedLimits
from hub_tfx.embed.reuse import known
from hub_tfx.embed.reuse.known import KnownRows

SCHEMA = pa.schema([("embedding", pa.list_(pa.float32(), 2)), ("tokens", pa.list_(pa.int32()))])


def lists(rows):
    """Flat values and offsets of lists."""
    return [value for row in rows for value in row], np.cumsum([0, *map(len, rows)])


words = st.lists(st.lists(st.binary(max_size=3), max_size=3), min_size=1, max_size=5)
numbers = st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=5)


@given(words)
def test_lists_of_words_have_one_digest_only_where_they_are_equal(rows):
    made = digests.of_lists(*lists(rows))
    assert [len(digest) for digest in made] == [digests.DIGEST_BYTES] * len(rows)
    for a, one in zip(rows, made, strict=True):
        for b, other in zip(rows, made, strict=True):
            assert (one == other) == (a == b)


@given(numbers)
def test_lists_of_numbers_have_one_digest_only_where_they_are_equal(rows):
    values, offsets = lists(rows)
    made = digests.of_lists(np.array(values, np.int32), offsets)
    for a, one in zip(rows, made, strict=True):
        for b, other in zip(rows, made, strict=True):
            assert (one == other) == (a == b)


@given(words, words)
def test_the_digest_of_a_row_does_not_depend_on_the_rows_around_it(rows, others):
    alone = [digests.of_lists(*lists([row]))[0] for row in rows]
    together = digests.of_lists(*lists([*others, *rows]))
    assert together[len(others) :] == alone


@given(st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), min_size=1))
def test_what_feeds_one_input_is_not_what_feeds_another(rows):
    parts = [digests.of_values(part) for part in zip(*rows, strict=True)]
    made = list(map(tuple, digests.of_rows(parts)))
    for a, one in zip(rows, made, strict=True):
        for b, other in zip(rows, made, strict=True):
            assert (one == other) == (a == b)


def columns(numbers):
    numbers = list(numbers)
    flat = np.repeat(np.array(numbers, np.float32), 2)
    return {
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), 2),
        "tokens": pa.array([list(range(n % 3)) for n in numbers], pa.list_(pa.int32())),
    }


def digests_of(numbers):
    return digests.of_rows([digests.of_values(str(n).encode() for n in numbers)])


SMALL_FILES = EmbedLimits(chunk_rows=7, mapped_bytes=1)


@pytest.mark.parametrize("wanted", [[], [3], [49, 0, 25, 25], range(50), range(49, -1, -1), [8, 9]])
def test_known_rows_come_back_in_the_order_they_are_asked_for(wanted):
    rows = KnownRows(SCHEMA, SMALL_FILES)
    for start in range(0, 50, 5):
        rows.add(digests_of(range(start, start + 5)), columns(range(start, start + 5)))
    assert rows.rows == 50
    positions = rows.find(digests_of(wanted))
    assert positions.tolist() == list(wanted)
    taken = rows.take(positions)
    assert {name: taken[name].to_pylist() for name in taken} == {
        name: column.to_pylist() for name, column in columns(wanted).items()
    }
    assert [taken[name].type for name in SCHEMA.names] == SCHEMA.types


def test_rows_that_were_not_added_are_not_found():
    rows = KnownRows(SCHEMA, SMALL_FILES)
    assert rows.find(digests_of([1, 2])).tolist() == [-1, -1]
    rows.add(digests_of([1]), columns([1]))
    assert rows.find(digests_of([1, 2])).tolist() == [0, -1]


def test_half_a_digest_finds_nothing():
    rows = KnownRows(SCHEMA)
    rows.add(np.array([[1, 2]], np.uint64), columns([0]))
    assert rows.find(np.array([[1, 3], [3, 2], [1, 2]], np.uint64)).tolist() == [-1, -1, 0]


def test_nothing_is_left_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(known.tempfile, "tempdir", str(tmp_path))
    rows = KnownRows(SCHEMA, SMALL_FILES)
    rows.add(digests_of(range(20)), columns(range(20)))
    assert list(tmp_path.iterdir()) == []
    assert rows.take(np.array([19]))["embedding"].to_pylist() == [[19.0, 19.0]]


def test_threads_share_known_rows():
    rows = KnownRows(SCHEMA, SMALL_FILES)

    def add_and_look(start):
        for n in range(start, start + 50):
            rows.add(digests_of([n]), columns([n]))
            assert rows.take(rows.find(digests_of([n])))["embedding"].to_pylist() == [[n, n]]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add_and_look, range(0, 400, 100)))
    wanted = [100 * t + n for t in range(4) for n in range(50)]
    taken = rows.take(rows.find(digests_of(wanted)))
    assert taken["embedding"].to_pylist() == [[n, n] for n in wanted]
