"""What the trainers of both formats are given, and what they give back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from hub_tfx.errors import InputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.heads import Head
from hub_tfx.module.spec import SignatureSpec

PAIR = "pair:"
"""Before an input key: that input of the second of a pair (task ``similarity``)."""

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """One line of what a person sees while it trains.

    Attributes:
      step: of ``config.steps``.
      loss: of the last training batch; None where only metrics are new.
      metrics: of the last evaluation, if there was one at this step: ``loss`` and the head's own.
      steps_per_s: since the last report.
    """

    step: int
    loss: float | None
    metrics: Mapping[str, float] | None
    steps_per_s: float


@dataclass(frozen=True)
class TrainingJob:
    """One fine-tuning, ready to run.

    Attributes:
      base: directory of the base module.
      signature: name of the signature that is trained.
      signature_spec: its inputs and outputs.
      head: loss and metrics.
      config: all the rest.
      train: a new ``tf.data.Dataset`` of (inputs, labels), shuffled by the seed, without an end.
        Inputs are keyed as the signature's, ready for the module; see PAIR. Labels: see Head.loss.
      evaluate: the same over the evaluation data, once, in order.
      serving: serialized tf.Examples ``[batch] string`` -> inputs, in TensorFlow ops; for the
        serving model.
      work_dir: checkpoints, TensorBoard events and exports; a run that finds its own there goes on.
      report: called with progress.
      serving_resources: the object in which ``serving`` has tables or weights, such as TFX
        Transform's layer: TensorFlow saves eager ones (``keras.train``) only if it is told of them.
    """

    base: Path
    signature: str
    signature_spec: SignatureSpec
    head: Head
    config: FineTuneConfig
    train: Callable[[], Any]
    evaluate: Callable[[], Any]
    serving: Callable[[Any], Inputs]
    work_dir: Path
    report: Callable[[Progress], None] = lambda progress: None
    serving_resources: Any = None


@dataclass(frozen=True)
class Trained:
    """What a trainer leaves in its work directory. The caller copies it out before it is collected.

    Attributes:
      newest: the module after the last step.
      best: the module with the smallest evaluation loss; may be ``newest``.
      serving: a SavedModel of the best one, with the signature ``serving_default``: ``examples``
        ``[batch] string`` -> the head's predictions.
      metrics: evaluation of ``newest``: ``loss`` and the head's own.
      best_metrics: evaluation of ``best``.
      steps: after which training ended, fewer than configured where it stopped early.
      history: (step, metrics) of every evaluation, in order.
    """

    newest: Path
    best: Path
    serving: Path
    metrics: Mapping[str, float]
    best_metrics: Mapping[str, float]
    steps: int
    history: tuple[tuple[int, Mapping[str, float]], ...]


class Trainer(Protocol):
    """Trains a module of one format: ``tf1_hub.trainer.train`` and ``saved_model.trainer.train``.

    ``hub_tfx.testing.trainers`` tests what it promises.
    """

    def __call__(self, job: TrainingJob) -> Trained:
        """Runs, or goes on with, a training.

        Raises:
          AuthoringError: nothing was exported, or the module cannot be trained (no trainable
            variable, a signature that cannot be applied in training).
          InputError: there is no row, or one does not hold what the module takes.
          OutputError: ``job.work_dir`` holds another training.
        """


@contextmanager
def naming_features() -> Iterator[None]:
    """For a trainer: says which feature it is that TensorFlow cannot parse in a tf.Example.

    Raises:
      InputError: a row has none, or too many values, or others than the module takes.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        _, is_of_a_row, problem = error.message.partition("Name: <unknown>, ")
        if not is_of_a_row:
            raise
        raise InputError(
            f"a row of the examples does not hold what the module takes: {problem.splitlines()[0]}"
        ) from error
