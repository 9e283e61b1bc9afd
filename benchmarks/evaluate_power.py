"""How often a verdict is right: modules that are equal by construction, and ones that are better.

    python -m benchmarks.evaluate_power [--seeds 20] [--accuracy 0.9 0.8] [--shared 0 0.5]

A module is made up here of the vectors that it gives: a corner for the class of the row, and noise,
as loud as its accuracy asks for. The best possible accuracy on such vectors is known, so that one
module is better than another by construction. Each seed makes other rows and other folds.

Two modules that share no noise are the hardest case: each errs on rows of its own. Real ones find
the same rows hard, and differences show on fewer rows.
"""

import argparse
import itertools
from functools import cache
from typing import Any

import numpy as np

from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.measure import measure
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.evaluate.rows import EvaluatedRows

Array = np.ndarray[Any, Any]

DIMENSIONS = 16
CASES = (("equal", 0.0, 2000), ("4 points better", 0.04, 2000), ("3 points better", 0.03, 4000))
"""Name, how much more accurate the candidate is, and rows."""
_TRIED_ROWS = 200_000


def vectors(classes: Array, loudness: float, noise: Array) -> Array:
    """``[n, 16]``: a corner for each class, and noise."""
    made: Array = np.eye(DIMENSIONS)[classes] + loudness * noise
    return made


@cache
def loudness_for(accuracy: float, classes: int) -> float:
    """The loudness of noise with which no classifier is more accurate than this."""
    rng = np.random.default_rng(0)
    signal = np.eye(classes)[rng.integers(classes, size=_TRIED_ROWS)]
    noise = rng.standard_normal(signal.shape)
    low, high = 0.01, 10.0
    for _ in range(20):
        middle = (low + high) / 2
        # The nearest corner is the likeliest class; dimensions without a corner say nothing.
        right = (signal + middle * noise).argmax(axis=1) == signal.argmax(axis=1)
        low, high = (middle, high) if right.mean() > accuracy else (low, middle)
    return low


def simulate(
    seed: int,
    rows: int,
    better_by: float,
    accuracy: float = 0.9,
    classes: int = 4,
    shared: float = 0.0,
    **options: Any,
) -> Evaluation:
    """The evaluation of a module that is better by construction than its baseline.

    Args:
      seed: of the rows, the folds and the bootstrap.
      rows: number of rows.
      better_by: accuracy of the candidate minus that of the baseline.
      accuracy: of the baseline.
      classes: number of classes, at most 16.
      shared: share of the variance of the noise that both modules have in common.
      options: of the EvaluateConfig.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    noise = rng.standard_normal((3, rows, DIMENSIONS))
    own = np.sqrt(shared) * noise[2] + np.sqrt(1 - shared) * noise[:2]
    candidate = vectors(labels, loudness_for(accuracy + better_by, classes), own[0])
    baseline = vectors(labels, loudness_for(accuracy, classes), own[1])
    config = EvaluateConfig(**{"label": "label", "seed": seed, **options})
    return measure(EvaluatedRows(candidate, baseline, labels=labels.tolist()), config)


def count_blessed(seeds: int, rows: int, better_by: float, **options: Any) -> int:
    """How many of so many simulations end with a blessing."""
    return sum(simulate(s, rows, better_by, **options).is_blessed for s in range(seeds))


def main() -> None:
    """Prints a line for each accuracy and share of noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--accuracy", type=float, nargs="+", default=[0.9], help="of the baseline")
    parser.add_argument("--shared", type=float, nargs="+", default=[0.0], help="share of the noise")
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--primary", choices=("probe_accuracy", "knn_accuracy"))
    given = parser.parse_args()
    print(f"blessed of {given.seeds}, {given.classes} classes, by {given.primary or 'the default'}")
    print(f"{'accuracy':<10}{'shared':<8}", *(f"{n}, {r:,} rows".rjust(28) for n, _, r in CASES))
    for accuracy, shared in itertools.product(given.accuracy, given.shared):
        print(f"{accuracy:<10g}{shared:<8g}", end="", flush=True)
        for _, better_by, rows in CASES:
            options = {"accuracy": accuracy, "shared": shared, "classes": given.classes}
            options |= {"primary": given.primary}
            print(
                f"{count_blessed(given.seeds, rows, better_by, **options):>29}", end="", flush=True
            )
        print()


if __name__ == "__main__":
    main()
