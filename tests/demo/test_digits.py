"""The image demo: what is compared is comparable, and all of it runs."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from demo.digits import PER_CLASS, run
from demo.handwriting import NEW, OLD, read_digits
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest


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


def test_it_gives_a_curve_for_each_way_to_start(out, summary):
    assert set(summary.curves) == {"transfer", "scratch", "frozen"}
    for curves in summary.curves.values():
        assert list(curves[0]) == summary.steps
        assert all(0 <= accuracy <= 1 for accuracy in curves[0].values())
    assert set(json.loads((out / "summary.json").read_text())) == set(summary.curves)


def test_scratch_is_the_same_graph_with_other_weights(out, summary):
    module, fresh = out / "module", out / "fresh-0"
    assert inspect(module).signatures == inspect(fresh).signatures
    assert Manifest.of_directory(module).digest != Manifest.of_directory(fresh).digest


def test_examples_are_encoded_images_with_their_digit(out, summary):
    table = pq.read_table(out / "examples-0" / "train.parquet")
    assert table.num_rows == PER_CLASS * len(NEW)
    assert all(image.startswith(b"\x89PNG") for image in table["image"].to_pylist())


@pytest.mark.slow
def test_transfer_beats_scratch(tmp_path):
    summary = run(tmp_path, seeds=5)
    last = summary.steps[-1]
    assert np.mean(summary.margins(last)) > 0
