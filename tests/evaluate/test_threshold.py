"""Thresholds as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.names import known_measures
from hub_tfx.evaluate.threshold import Slice, Threshold

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FEATURES = st.text(st.characters(exclude_characters="="), min_size=1).filter(
    lambda name: name == name.strip()
)
THRESHOLDS = st.builds(
    Threshold,
    st.sampled_from(sorted(known_measures(10))),
    st.sampled_from([">=", "<="]),
    NUMBERS,
    st.none() | NUMBERS,
    st.none() | st.builds(Slice, FEATURES, st.text()),
)


def read_or_refused(text):
    """The threshold, or why it is not one."""
    try:
        return Threshold.parse(text)
    except ConfigError as error:
        return str(error)


@given(THRESHOLDS)
def test_what_is_written_of_a_threshold_is_read_as_the_same(threshold):
    assert Threshold.parse(str(threshold)) == threshold


@given(st.text() | st.builds("{}{}{}".format, st.text(), st.sampled_from([">=", "<="]), st.text()))
def test_any_text_is_a_threshold_or_a_refusal_that_quotes_it(text):
    found = read_or_refused(text)
    if isinstance(found, str):
        assert found.startswith("threshold ")
    else:
        assert Threshold.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("probe_accuracy>=0.8", Threshold("probe_accuracy", ">=", 0.8)),
        ("cost_load_s <= 2.5", Threshold("cost_load_s", "<=", 2.5)),
        (
            "knn_accuracy@lang=de>=0.7",
            Threshold("knn_accuracy", ">=", 0.7, slice=Slice("lang", "de")),
        ),
        ("cost_rows_per_s>=0.5*baseline", Threshold("cost_rows_per_s", ">=", 0.0, 0.5)),
        (
            "recall@10@lang=de >= baseline - 0.02",
            Threshold("recall@10", ">=", -0.02, 1.0, Slice("lang", "de")),
        ),
        ("mrr@5>=2*baseline+1e-3", Threshold("mrr@5", ">=", 0.001, 2.0)),
        ("ndcg@10@sign=>=>=1", Threshold("ndcg@10", ">=", 1.0, slice=Slice("sign", ">="))),
        ('mrr@10@word=" a ">=1', Threshold("mrr@10", ">=", 1.0, slice=Slice("word", " a "))),
        ("mrr@10@empty=>=1", Threshold("mrr@10", ">=", 1.0, slice=Slice("empty", ""))),
    ],
)
def test_reads(text, expected):
    assert Threshold.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("probe_accuracy", "cannot be read: write MEASURE>=NUMBER"),
        ("probe_accuracy=0.8", "cannot be read"),
        ("probe_accuracy>0.8", "cannot be read"),
        ("probe_accuracy@de>=0.8", "cannot be read"),
        ("probe_accuracy>=", "'' is not a number"),
        ("probe_accuracy>=80%", "'80%' is not a number"),
        ("probe_accuracy>=nan", "'nan' is not a number"),
        ("probe_accuracy>=inf*baseline", "'inf' is not a number"),
        ("probe_accuracy>=baseline-", "is not a number"),
        ('probe_accuracy@a="b>=1', "begins with a quote"),
        ('probe_accuracy@a="b"c>=1', "begins with a quote"),
    ],
)
def test_refuses(text, complaint):
    with pytest.raises(ConfigError, match="threshold") as raised:
        Threshold.parse(text)
    assert complaint in str(raised.value)


def test_a_bound_beside_the_baseline_needs_one():
    half = Threshold.parse("cost_rows_per_s>=0.5*baseline+1")
    assert (half.bound(8.0), half.bound(None)) == (5.0, None)
    assert Threshold.parse("mrr@10>=0.5").bound(None) == 0.5


def test_a_threshold_is_met_at_its_bound():
    assert Threshold.parse("mrr@10>=0.5").is_met(0.5, 0.5)
    assert not Threshold.parse("mrr@10>=0.5").is_met(0.49, 0.5)
    assert not Threshold.parse("cost_load_s<=0.5").is_met(0.51, 0.5)
