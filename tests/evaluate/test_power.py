"""How often a verdict is right, over simulated modules whose difference is known."""

import pytest

from benchmarks.evaluate_power import count_blessed, simulate


def test_a_clear_difference_is_seen_and_none_is_not():
    quick = {"replicates": 500}
    assert simulate(0, 600, better_by=0.09, **quick).is_blessed
    assert not simulate(0, 600, better_by=0.0, **quick).is_blessed
    assert not simulate(0, 600, better_by=-0.09, **quick).is_blessed
    assert simulate(0, 600, better_by=0.0, margin=0.1, **quick).is_blessed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better_by", "rows", "least", "most"),
    [(0.0, 2000, 0, 2), (0.04, 2000, 18, 20), (0.03, 4000, 18, 20)],
)
def test_of_twenty_seeds(better_by, rows, least, most):
    blessed = count_blessed(20, rows, better_by)
    print(f"better by {better_by:g} on {rows:,} rows: blessed {blessed} of 20")
    assert least <= blessed <= most
