"""Learning rates over the steps, when a frozen module starts to learn, and when to stop."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from hub_tfx.finetune.config import FineTuneConfig

History = Sequence[tuple[int, Mapping[str, float]]]
"""(step, metrics) of every evaluation, in order."""


def factor(config: FineTuneConfig, step: Any) -> Any:
    """What learning rates are multiplied by at a step: warm-up, then decay; a float32 scalar."""
    step = tf.cast(step, tf.float32)
    warm = tf.minimum(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    left = max(1, config.steps - config.warmup_steps)
    done = tf.clip_by_value((step - config.warmup_steps) / left, 0.0, 1.0)
    match config.decay:
        case "linear":
            return warm * (1 - done)
        case "cosine":
            return warm * 0.5 * (1 + tf.cos(math.pi * done))
    return tf.convert_to_tensor(warm)


def module_factor(config: FineTuneConfig, step: Any) -> Any:
    """What the module's learning rate is multiplied by at a step: 0 while the module is frozen."""
    if not config.freeze:
        return factor(config, step)
    if config.unfreeze_after is None:
        return tf.constant(0.0)
    thawed = tf.cast(tf.cast(step, tf.int64) >= config.unfreeze_after, tf.float32)
    return thawed * factor(config, step)


def index_of_best(history: History) -> int:
    """The evaluation of the smallest loss; the first of equals."""

    def loss(index: int) -> float:
        value = history[index][1]["loss"]
        return math.inf if math.isnan(value) else value

    return min(range(len(history)), key=loss)


def is_stalled(config: FineTuneConfig, history: History) -> bool:
    """Whether training is to stop, since none of the last ``patience`` evaluations was the best.

    Evaluations before a frozen module begins to learn do not count.
    """
    if config.patience is None or not history:
        return False
    thawed = config.unfreeze_after or 0
    later = history[index_of_best(history) + 1 :]
    return sum(step > thawed for step, _ in later) >= config.patience
