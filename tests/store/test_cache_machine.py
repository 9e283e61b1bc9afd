"""The state machine of hub_tfx.testing over our cache: a little daily, more in the slow tests."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from hub_tfx.testing.cache_machine import CacheMachine


def walk(examples: int, steps: int) -> None:
    bounds = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(CacheMachine, settings=bounds)


def test_whatever_happens_to_a_cache_what_is_resolved_is_whole() -> None:
    walk(examples=6, steps=12)


@pytest.mark.slow
def test_whatever_happens_in_many_orders() -> None:
    walk(examples=150, steps=40)
