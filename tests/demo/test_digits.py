"""The image demo: what is compared is comparable, and all of it runs."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from demo.digits import PER_CLASS, Summary, run, show
from demo.handwriting import NEW, OLD, read_digits
from hub_tfx.module.inspect import inspect


def rows_of(digits):
    pairs = zip(digits.labels, digits.images, strict=True)
    return [(int(label), image.tobytes()) for label, image in pairs]


def test_a_draw_has_so_many_of_each_digit_and_leaves_out_no_row():
    new = read_digits().of(NEW)
    train, held_out = new.split(PER_CLASS, seed=3)
    assert np.unique(train.labels, return_counts=True)[1].tolist() == [PER_CLASS] * len(NEW)
    assert sorted(rows_of(train) + rows_of(held_out)) == sorted(rows_of(new))
    assert rows_of(train) != rows_of(new.split(PER_CLASS, seed=4)[0])
    assert not set(np.unique(new.labels)) & set(OLD)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def summary(out):
    return run(out, seeds=1, steps=8, epochs=1)


@pytest.mark.slow
def test_it_gives_a_curve_for_each_way_to_start(out, summary):
    assert set(summary.curves) == {"transfer", "scratch", "frozen"}
    for curves in summary.curves.values():
        assert list(curves[0]) == summary.steps
        assert all(0 <= accuracy <= 1 for accuracy in curves[0].values())
    assert set(json.loads((out / "summary.json").read_text())) == set(summary.curves)


def weights(module):
    reader = tf.train.load_checkpoint(str(module / "variables" / "variables"))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@pytest.mark.slow
def test_scratch_is_the_same_graph_with_other_weights(out, summary):
    module, fresh = out / "module", out / "fresh-0"
    assert inspect(module).signatures == inspect(fresh).signatures
    learned, new = weights(module), weights(fresh)
    assert {n: w.shape for n, w in learned.items()} == {n: w.shape for n, w in new.items()}
    assert len(learned) == 20
    assert not any(np.array_equal(weight, new[name]) for name, weight in learned.items())


@pytest.mark.slow
def test_only_what_it_starts_from_tells_scratch_from_transfer(out, summary):
    reports = {
        kind: json.loads((out / f"{kind}-0" / "report.json").read_text())
        for kind in ("transfer", "scratch", "frozen")
    }
    transfer, scratch, frozen = (
        {key: reports[kind][key] for key in ("config", "steps", "rows", "classes")}
        for kind in ("transfer", "scratch", "frozen")
    )
    assert transfer == scratch
    assert transfer["config"] | {"freeze": True} == frozen["config"] != transfer["config"]
    assert [transfer["rows"][part] for part in ("train", "evaluation")] == [100, 796]
    assert reports["transfer"]["parent_digest"] == reports["frozen"]["parent_digest"]
    assert reports["transfer"]["parent_digest"] != reports["scratch"]["parent_digest"]


@pytest.mark.slow
def test_examples_are_png_files_with_their_digit(out, summary):
    train, held_out = read_digits().of(NEW).split(PER_CLASS, seed=0)
    for name, part in (("train", train), ("held_out", held_out)):
        table = pq.read_table(out / "examples-0" / f"{name}.parquet")
        assert table["digit"].to_pylist() == part.labels.tolist()
        decoded = [tf.io.decode_png(image)[..., 0] for image in table["image"].to_pylist()]
        np.testing.assert_array_equal(decoded, part.images)


def test_the_margin_is_that_of_transfer_over_scratch_draw_by_draw(capsys):
    transfer = [{25: 0.9, 200: 0.98}, {25: 0.8, 200: 0.96}]
    scratch = [{25: 0.5, 200: 0.96}, {25: 0.6, 200: 0.97}]
    summary = Summary({"transfer": transfer, "scratch": scratch, "frozen": scratch})
    assert summary.margins(200) == pytest.approx([0.02, -0.01])
    show(summary)
    printed = capsys.readouterr().out
    assert "after  25 steps +30.0 ± 14.1, ahead in 2 of 2 draws" in printed
    assert "after 200 steps +0.5 ± 2.1, ahead in 1 of 2 draws" in printed
    assert "0.970 ± 0.014" in printed


@pytest.mark.slow
def test_transfer_beats_scratch(tmp_path):
    summary = run(tmp_path, seeds=5)
    for step in (summary.steps[0], summary.steps[-1]):
        assert np.mean(summary.margins(step)) > 0
