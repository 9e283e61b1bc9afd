"""Evaluation: its JSON round trip, and what is refused."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.measure import measure
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.evaluate.rows import EvaluatedRows

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = {
    str: st.text(max_size=5),
    int: st.integers(),
    float: FINITE,
    bool: st.booleans(),
    Any: st.none() | st.booleans() | st.text(max_size=5),
}


def anything_of(hint):
    """Values of an annotation."""
    if hint in PLAIN:
        return PLAIN[hint]
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return st.builds(hint, **{of.name: anything_of(hints[of.name]) for of in fields(hint)})
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Mapping:
        return st.dictionaries(st.text(max_size=5), anything_of(arguments[1]), max_size=2)
    if origin is tuple and arguments[-1] is ...:
        return st.lists(anything_of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(anything_of, arguments))
    return st.none() | anything_of(arguments[0])


EVALUATIONS = anything_of(Evaluation)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(EVALUATIONS)
def test_json_gives_back_the_evaluation(evaluation):
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


@pytest.fixture(scope="module")
def document():
    rows = EvaluatedRows([[1.0], [2.0]], [[1.0], [2.0]])
    return json.loads(measure(rows, EvaluateConfig()).to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"made_by": "somebody"},
        {"verdict": "perhaps"},
        {"colour": "red"},
        {"measures": {}},
        {"measures": [{"name": "x"}]},
        {"measures": [3]},
        {"reasons": "none"},
        {"rows": None},
        {"rows": {"total": "3", "sampled": 3}},
        {"primary": 3},
        {"provenance": []},
        {"provenance": {"a": 1}},
    ],
)
def test_refuses_what_no_evaluation_says(document, change):
    assert Evaluation.from_json(json.dumps(document)).verdict == "not blessed"
    with pytest.raises(
        ValueError, match=r"^(it|the evaluation|\w+) (was not made by|has|lacks|is not)"
    ):
        Evaluation.from_json(json.dumps({**document, **change}))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, b"\xff", '{"made_by": NaN}'])
def test_refuses_what_is_not_a_document(text):
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the reason
        Evaluation.from_json(text)


def test_a_number_that_json_lacks_is_not_written(document):
    evaluation = Evaluation.from_json(json.dumps(document))
    broken = replace(evaluation.measures[0], value=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        replace(evaluation, measures=(broken,)).to_json()
