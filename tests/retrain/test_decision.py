"""Whether there is anything to learn from, by what is there and what was learned last."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError, InputError
from hub_tfx.repository.learning import Learner
from hub_tfx.retrain.config import RetrainConfig
from hub_tfx.retrain.decision import Decision, Drift, Span, decide

ANY = RetrainConfig()
ONE, TWO = Span(1, "a", 10), Span(2, "b", 20)


def learned(*spans: Span, base: str | None = "m") -> Decision:
    return decide(spans, ANY, base=base)


def test_in_the_first_run_everything_is_new() -> None:
    first = learned(ONE, TWO)
    assert first.learn
    assert first.start == "in use"
    assert first.reasons == ("nothing has been learned yet: spans 1, 2, 30 rows",)
    assert first.spans == {"1": "a", "2": "b"}
    assert (first.new_spans, first.new_rows, first.base) == ((1, 2), 30, "m")


def test_what_was_learned_is_not_learned_again() -> None:
    again = decide([ONE], ANY, base="m", learned=learned(ONE, TWO))
    assert not again.learn
    assert again.reasons == ("nothing is new: span 1 and the base module were learned already",)


def test_a_new_span_is_learned_even_if_it_comes_late() -> None:
    late = decide([ONE], ANY, base="m", learned=learned(TWO))
    assert late.learn
    assert late.reasons == ("span 1 new, 10 rows",)
    assert late.spans == {"1": "a", "2": "b"}


def test_a_rewritten_span_is_known_by_its_fingerprint() -> None:
    rewritten = Span(1, "other")
    decision = decide([rewritten, TWO], ANY, base="m", learned=learned(ONE))
    assert decision.learn
    assert decision.reasons == ("span 2 new and span 1 rewritten",)
    assert (decision.new_spans, decision.new_rows) == ((1, 2), None)
    assert not decide([rewritten], ANY, base="m", learned=decision).learn


@pytest.mark.parametrize("base", ["n", None])
def test_a_new_base_is_started_from(base: str | None) -> None:
    strict = RetrainConfig(min_new_rows=100)
    decision = decide([ONE], strict, base=base, learned=learned(ONE))
    assert decision.learn
    assert decision.start == "base"
    assert "the base module is new" in decision.reasons[0]
    assert not decide([ONE], ANY, base=base, learned=decision).learn


def test_too_few_rows_wait_for_more() -> None:
    config = RetrainConfig(min_new_rows=25)
    few = decide([ONE, TWO], config, base="m", learned=learned(ONE))
    assert not few.learn
    assert few.reasons == ("too few new rows: 20, and at least 25 are asked for",)
    assert decide([Span(1, "x", 10), TWO], config, base="m", learned=learned(ONE)).learn


def version(*spans: Span, base: str | None = "m") -> Learner:
    return Learner("acme/words/2", learned(*spans, base=base).learned)


def test_what_the_version_in_use_has_learned_is_not_learned_again() -> None:
    """Its run was killed before anybody knew that it had come to its end."""
    killed = decide([ONE, TWO], ANY, base="m", learned=learned(ONE), in_use=version(ONE, TWO))
    assert not killed.learn
    assert killed.reasons == (
        "nothing is new: span 2 was learned already (acme/words/2); span 1 and the base module "
        "were learned already",
    )
    assert killed.learned_by == "acme/words/2"
    assert killed.learned == learned(ONE, TWO).learned
    known = decide([ONE], ANY, base="m", learned=learned(ONE), in_use=version(ONE))
    assert known.learned_by is None

    new = decide([ONE, TWO, Span(3, "c")], ANY, base="m", in_use=version(ONE, TWO))
    assert new.reasons == ("span 3 new",)
    assert (new.spans, new.learned_by) == ({"1": "a", "2": "b", "3": "c"}, None)


def test_what_led_to_no_version_is_not_learned_again_either() -> None:
    tried = decide([ONE, TWO], ANY, base="n", learned=learned(ONE, TWO, base="n"), in_use=version())
    assert tried.reasons == ("nothing is new: spans 1, 2 and the base module were learned already",)
    rewritten = learned(Span(1, "worse"))
    in_use = version(ONE)
    assert not decide([Span(1, "worse")], ANY, base="m", learned=rewritten, in_use=in_use).learn
    assert not decide([ONE], ANY, base="m", learned=rewritten, in_use=in_use).learn  # As it was.
    assert decide([Span(1, "new")], ANY, base="m", learned=rewritten, in_use=in_use).learn


def test_a_base_that_the_version_in_use_came_from_is_not_new() -> None:
    in_use = version(ONE, base="n")
    decision = decide([ONE], ANY, base="n", learned=learned(ONE), in_use=in_use)
    assert decision.reasons == (
        "nothing is new: the base module was learned already (acme/words/2); span 1 was learned "
        "already",
    )
    other = decide([ONE], ANY, base="o", in_use=in_use)
    assert (other.start, other.reasons) == ("base", ("the base module is new: o after n",))


FAR = Drift("topic", 0.75, 0.3, "infinity norm", "train")
NEAR = Drift("length", 0.125, 0.5, "Jensen-Shannon divergence", "eval")
WATCHES = RetrainConfig(min_new_rows=100, drift={"topic": 0.3, "length": 0.5})


def test_drift_is_a_reason_to_learn_from_few_rows() -> None:
    decision = decide([ONE, TWO], WATCHES, base="m", drift=[FAR, NEAR], learned=learned(ONE))
    assert decision.learn
    assert decision.reasons == (
        "span 2 new, 20 rows; topic has drifted by 0.75, more than 0.3 (infinity norm, split "
        "train)",
    )
    assert decision.drift == (FAR, NEAR)
    assert Decision.from_json(decision.to_json()) == decision


def test_without_drift_the_reason_says_how_far_it_is() -> None:
    near = replace(FAR, distance=0.3)
    waits = decide([ONE, TWO], WATCHES, base="m", drift=[near, NEAR], learned=learned(ONE))
    assert not waits.learn
    assert waits.reasons == (
        "too few new rows: 20, and at least 100 are asked for; topic has drifted by 0.3, at most "
        "0.3 (infinity norm, split train); length has drifted by 0.125, at most 0.5 "
        "(Jensen-Shannon divergence, split eval)",
    )


def test_drift_that_is_not_known_is_told_where_something_is_new() -> None:
    waits = decide([ONE, TWO], WATCHES, base="m", drift=[NEAR], learned=learned(ONE))
    assert waits.reasons[1] == (
        "the drift of topic is not known: what was learned last has no statistics of it"
    )
    assert len(decide([ONE, TWO], WATCHES, base="m").reasons) == 1
    assert len(decide([ONE], WATCHES, base="m", learned=learned(ONE)).reasons) == 1


def test_drift_alone_is_no_news() -> None:
    """Of the same spans nothing else is learned, however they are mixed in this run."""
    assert not decide([ONE], WATCHES, base="m", drift=[FAR], learned=learned(ONE, TWO)).learn


def test_anomalies_stop_it_unless_the_config_says_otherwise() -> None:
    wrong = [f"anomaly {n}" for n in range(5)]
    stopped = decide([ONE], ANY, base="m", anomalies=wrong)
    assert not stopped.learn
    assert stopped.reasons == (
        "the examples have anomalies: anomaly 0; anomaly 1; anomaly 2; and 2 more",
    )
    assert decide([ONE], RetrainConfig(stop_on_anomalies=False), anomalies=wrong).learn
    assert decide([ONE], RetrainConfig(max_anomalies=5), anomalies=wrong).learn
    bounded = decide([ONE], RetrainConfig(max_anomalies=4), anomalies=wrong)
    assert bounded.reasons[0].startswith("the examples have anomalies, more than 4: anomaly 0; ")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"drift": {"topic": 1.5}}, "drift takes a mapping from texts to numbers from 0 to 1"),
        ({"drift": {"topic": float("nan")}}, "drift takes a mapping from texts to numbers"),
        ({"max_anomalies": -1}, "max_anomalies takes a whole number from 0"),
        ({"max_anomalies": 2, "stop_on_anomalies": False}, "leave one of the two out"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        RetrainConfig(**wrong)


def test_a_config_has_the_json_that_it_had_before_there_was_drift() -> None:
    assert ANY.to_json() == '{"min_new_rows": 0, "stop_on_anomalies": true}'
    assert RetrainConfig.from_json(WATCHES.to_json()) == WATCHES


def test_where_nothing_is_new_anomalies_are_not_the_reason() -> None:
    decision = decide([ONE], ANY, base="m", anomalies=["bad"], learned=learned(ONE))
    assert "nothing is new" in decision.reasons[0]


@given(
    st.lists(
        st.builds(Span, st.integers(0, 9), st.text(), st.none() | st.integers(0, 99)),
        unique_by=lambda span: span.number,
        min_size=1,
    ),
    st.none() | st.text(),
)
def test_a_decision_is_read_back_as_it_was(spans: list[Span], base: str | None) -> None:
    decision = decide(spans, ANY, base=base)
    assert Decision.from_json(decision.to_json()) == decision
    assert not decide(spans, ANY, base=base, learned=decision).learn


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "{" * 9999),
        '{"learn": 1, "reasons": ["x"], "start": "base"}',
        '{"learn": true, "reasons": [], "start": "base"}',
    ],
)
def test_what_is_not_a_decision_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is damaged \(.*run the pipeline again"):
        Decision.from_json(text)
