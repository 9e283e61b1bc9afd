"""What becomes of a sample: labels of every kind, places, reasons; and modules that are tried."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.task import make_task
from hub_tfx.errors import ConfigError, IncompleteError, JobLeftRunningError
from hub_tfx.evaluate import embed
from hub_tfx.evaluate.choose import PLACE, Sample, place_of, to_bytes
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.embed import CONTENT, SHOWN, EmbeddedSample, SideRows, read_sample
from hub_tfx.evaluate.gather import check_of_rejected, rows_of
from hub_tfx.evaluate.trial import try_out
from hub_tfx.module.resolved import ResolvedModule

TASK: Any = SimpleNamespace(
    files=[SimpleNamespace(path="a.csv"), SimpleNamespace(path="b.csv")],
    of_side={"candidate": None, "baseline": None},
)
PLACES = [place_of(0, 4), place_of(0, 9), place_of(1, 0), place_of(1, 1)]
COUNTS = {0: 10, 1: 5}


def side(rejected: dict[int, str] | None = None) -> SideRows:
    reasons = {PLACES[row]: why for row, why in (rejected or {}).items()}
    places = np.array([place for place in PLACES if place not in reasons], np.int64)
    return SideRows(places, np.ones((len(places), 2), np.float32), reasons)


def sample(columns: dict[str, Any], **of_side: SideRows) -> EmbeddedSample:
    about = {
        PLACE: pa.array(PLACES),
        SHOWN: pa.array(["a text", None, "another", None]),
        CONTENT: pa.array([b"1", b"2", b"3", b"3"]),
    }
    return EmbeddedSample(COUNTS, pa.table(about | columns), of_side or {"candidate": side()}, None)


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (pa.array(["a", "", None, "b"]), ["a", None, None, "b"]),
        (pa.array([b"a", b"\xff", None, b"b"]), ["a", "\ufffd", None, "b"]),
        (pa.array([1, 0, None, -3]), ["1", "0", None, "-3"]),
        (pa.array([1.0, 0.0, None, float("nan")]), ["1", "0", None, None]),
        (pa.array([True, False, None, True]), ["1", "0", None, "1"]),
        (pa.array([["a"], [], None, ["a", "b"]]), ["a", None, None, None]),
        (pa.array([[1.0], [2.0], None, [3.0]]), ["1", "2", None, "3"]),
    ],
)
def test_labels_of_any_kind_name_a_class_or_none(given: pa.Array, labels: list[Any]) -> None:
    rows = rows_of(TASK, sample({"y": given}), EvaluateConfig(label="y", pairs="y"))
    assert rows.labels.tolist() == labels
    assert rows.groups.tolist() == labels


@pytest.mark.parametrize("given", [pa.array([1.0, 0.5, 1, 1]), pa.array([[1.0], [0.5], [], []])])
def test_fractions_are_no_labels_but_may_be_slices(given: pa.Array) -> None:
    with pytest.raises(ConfigError, match=r"label 'y' holds 0\.5, and classes are texts or whole"):
        rows_of(TASK, sample({"y": given}), EvaluateConfig(label="y"))
    rows = rows_of(TASK, sample({"y": given}), EvaluateConfig(slices=("y",)))
    assert rows.slices["y"].tolist()[:2] == ["1", "0.5"]


def test_rows_are_known_by_their_text_or_place_and_keep_their_numbers() -> None:
    given = sample({}, candidate=side(), baseline=side({2: "bad"}))
    rows = rows_of(TASK, given, EvaluateConfig())
    assert rows.shown == ["a text", "a.csv:10", "b.csv:2"]
    assert rows.positions == [4, 9, 11]
    assert rows.content == [b"1", b"2", b"3"]
    assert (rows.total, dict(rows.left_out)) == (15, {"the baseline: bad": 1})


def test_a_reason_of_both_modules_is_said_once_and_rare_ones_are_added_up() -> None:
    both = side({0: "bad", 1: "worse"})
    rows = rows_of(TASK, sample({}, candidate=both, baseline=both), EvaluateConfig())
    assert dict(rows.left_out) == {"bad": 1, "worse": 1}
    many = {"candidate": SideRows(np.array([], np.int64), np.ones((0, 2)), {})}
    places = [place_of(0, row) for row in range(30)]
    many["candidate"] = SideRows(
        np.array([], np.int64), np.zeros((0, 2)), {p: f"bad {p}" for p in places}
    )
    about = pa.table({PLACE: places, SHOWN: [None] * 30, CONTENT: [b""] * 30})
    about = about.set_column(1, SHOWN, pa.array([None] * 30, pa.string()))
    rows = rows_of(TASK, EmbeddedSample({0: 30}, about, many, None), EvaluateConfig())
    assert len(rows.left_out) == 21
    assert rows.left_out["other reasons"] == 10


NAN = "the module gave NaN or infinity for 'embedding'"


@pytest.mark.parametrize(
    ("candidate", "baseline", "passed"),
    [
        ({}, {}, True),
        ({0: "bad"}, {0: "bad"}, True),
        ({0: "bad"}, {}, False),
        ({0: "bad"}, {1: "bad"}, True),
        ({}, {1: "bad"}, True),
        ({0: "not UTF-8"}, None, True),
        ({0: NAN}, None, False),
    ],
)
def test_a_candidate_may_not_reject_more_rows_than_the_baseline(
    candidate: dict[int, str], baseline: dict[int, str] | None, passed: bool
) -> None:
    of_side = {"candidate": side(candidate)}
    if baseline is not None:
        of_side["baseline"] = side(baseline)
    check = check_of_rejected(sample({}, **of_side))
    assert check.passed is passed
    assert (check.why == "") is passed


# --- What Beam has left --------------------------------------------------------------------------


def test_a_row_that_is_missing_or_there_twice_is_an_error(tmp_path: Path) -> None:
    task: Any = SimpleNamespace(of_side={"candidate": None}, about=())
    with pytest.raises(JobLeftRunningError, match=r"has not written to .*it may still run"):
        read_sample(task, str(tmp_path))
    columns = [pa.array(PLACES), pa.array(["x"] * 4), pa.array([b"x"] * 4)]
    about = pa.RecordBatch.from_arrays(columns, [PLACE, SHOWN, CONTENT])
    for places in (PLACES[1:], [*PLACES, PLACES[0]]):
        vectors = pa.array([[1.0, 2.0]] * len(places), pa.list_(pa.float32(), 2))
        rows = pa.RecordBatch.from_arrays([pa.array(places), vectors], [PLACE, "vector"])
        results = [
            *embed._of_sample(Sample(COUNTS, [])),
            ("about", to_bytes(about)),
            ("candidate-embeddings", to_bytes(rows)),
        ]
        embed._write(results, str(tmp_path))
        with pytest.raises(IncompleteError, match=f"to embed 4 rows, and has {len(places)}: rows"):
            read_sample(task, str(tmp_path))


# --- Trial ---------------------------------------------------------------------------------------


def test_a_module_that_draws_at_random_is_not_deterministic(
    tmp_path: Path, judged_modules: dict[str, Path]
) -> None:
    import tensorflow as tf

    class Random(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, text: Any) -> Any:
            return tf.random.normal([tf.shape(text)[0], 4])

    tf.saved_model.save(Random(), str(tmp_path / "random"))
    rows = pa.RecordBatch.from_arrays([pa.array(["w1 w2", "w3"] * 4)], ["text"])
    config = EmbedConfig(batch_size=4)
    paths = {"candidate": tmp_path / "random", "baseline": judged_modules["better"]}
    tasks = {
        name: make_task(ResolvedModule.of_directory(path), config, [], rows.schema, "parquet")
        for name, path in paths.items()
    }
    tried = try_out(tasks, rows)
    assert not tried["candidate"].is_repeatable
    assert not tried["candidate"].is_of_rows
    assert tried["baseline"].is_repeatable
    assert tried["baseline"].is_of_rows
    for of_side in tried.values():
        assert (of_side.rows, of_side.call_rows) == (8, 4)
        assert of_side.cost.rows_per_s > 0
