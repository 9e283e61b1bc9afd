"""The sample of rows: the same however the input is cut and whoever reads it; groups stay whole."""

import random
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.data.marks import Position, mark_rejected
from hub_tfx.evaluate.choose import (
    PLACE,
    UNREADABLE,
    ChooseRows,
    Placing,
    file_and_row,
    from_bytes,
    place_of,
)

FILES = {"a": 0, "b": 1}
ROWS = {"a": 700, "b": 300}


def batches(cut: int, placing: Placing, group_rows: int) -> Iterator[pa.RecordBatch]:
    """Both files, read so many rows at a time."""
    for name, rows in ROWS.items():
        for start in range(0, rows, cut):
            numbers = range(start, min(start + cut, rows))
            batch = pa.RecordBatch.from_arrays(
                [
                    pa.array([f"{name}{n}" for n in numbers]),
                    pa.array([[f"{name}{n // group_rows}"] for n in numbers]),
                ],
                ["text", "group"],
            )
            if start == 0:
                batch = mark_rejected(batch, {0: "it cannot be read"})
            yield placing.placed(Position(name, start).mark(batch))


def choose(
    most: int, seed: int = 0, group: str | None = None, *, group_rows: int = 4, cut=512, workers=1
) -> pa.Table:
    choice = ChooseRows(most, seed)
    parts = [choice.create_accumulator() for _ in range(workers)]
    read = list(batches(cut, Placing(FILES, seed, group), group_rows))
    random.Random(cut).shuffle(read)
    for number, batch in enumerate(read):
        choice.add_input(parts[number % workers], batch)
    sample = choice.extract_output(choice.merge_accumulators(map(choice.compact, parts)))
    assert sample.rows == {0: 700, 1: 300}
    return pa.Table.from_batches([from_bytes(content) for content in sample.batches])


@settings(max_examples=30, deadline=None)
@given(
    most=st.integers(1, 1200),
    cut=st.integers(1, 800),
    workers=st.integers(1, 5),
    group=st.sampled_from([None, "group"]),
    group_rows=st.sampled_from([1, 2, 7, 300]),
)
def test_it_depends_on_neither_batches_nor_workers(
    most: int, cut: int, workers: int, group: str | None, group_rows: int
) -> None:
    one = choose(most, group=group, group_rows=group_rows)
    assert choose(most, group=group, group_rows=group_rows, cut=cut, workers=workers) == one
    assert one.num_rows <= most
    places = one.column(PLACE).to_pylist()
    assert places == sorted(set(places))


def test_it_has_as_many_rows_as_it_may_of_both_files_with_what_they_hold() -> None:
    chosen = choose(400).to_pydict()
    assert len(chosen["text"]) == 400
    for text, place in zip(chosen["text"], chosen[PLACE], strict=True):
        file, row = file_and_row(place)
        assert text == f"{'ab'[file]}{row}"
        assert place == place_of(file, row)
    of_file = Counter(text[0] for text in chosen["text"])
    assert 240 < of_file["a"] < 320


def test_a_small_input_is_taken_as_a_whole_with_rows_that_cannot_be_read() -> None:
    chosen = choose(1000).to_pydict()
    assert len(chosen["text"]) == 1000
    assert [why for why in chosen[UNREADABLE] if why] == ["it cannot be read"] * 2


def test_another_seed_chooses_other_rows() -> None:
    assert choose(100).column("text") != choose(100, seed=1).column("text")


def test_groups_are_chosen_as_a_whole() -> None:
    chosen = choose(402, group="group").column("group").to_pylist()
    assert 395 < len(chosen) <= 402
    assert {*Counter(group for (group,) in chosen).values()} == {4}


def test_a_part_of_a_group_is_taken_where_there_is_hardly_another() -> None:
    chosen = choose(200, group="group", group_rows=700).column("group").to_pylist()
    assert len(chosen) == 200
