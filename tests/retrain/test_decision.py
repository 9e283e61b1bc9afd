"""Whether there is anything to learn from, by what is there and what was learned last."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import InputError
from hub_tfx.repository.learning import Learner
from hub_tfx.retrain.config import RetrainConfig
from hub_tfx.retrain.decision import Decision, Span, decide

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


def test_anomalies_stop_it_unless_the_config_says_otherwise() -> None:
    wrong = [f"anomaly {n}" for n in range(5)]
    stopped = decide([ONE], ANY, base="m", anomalies=wrong)
    assert not stopped.learn
    assert stopped.reasons == (
        "the examples have anomalies: anomaly 0; anomaly 1; anomaly 2; and 2 more",
    )
    assert decide([ONE], RetrainConfig(stop_on_anomalies=False), anomalies=wrong).learn


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
