"""What the trainers of both formats take, and what they give back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from hub_tfx.errors import InputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.heads import Head
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import SignatureSpec

PAIR = "pair:"
"""Before an input key: that input of the second of a pair (task ``similarity``)."""

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """One line of what a person sees while it trains.

    Attributes:
      step: how many of ``config.steps`` are done.
      loss: loss of the last training batch; None where only metrics are new.
      metrics: what the evaluation at this step found, ``loss`` and the head's own; None where there
        was none.
      steps_per_s: rate since the last report.
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
      config: how long to train, how fast, and what learns.
      train: a new ``tf.data.Dataset`` of (inputs, labels), shuffled by the seed, without an end.
        Inputs are keyed as the signature's, ready for the module; see PAIR. Labels: see Head.loss.
      evaluate: a new dataset of the evaluation data, once and in order.
      serving: serialized tf.Examples ``[batch] string`` -> inputs, in TensorFlow ops; for the
        serving model.
      work_dir: checkpoints, TensorBoard events and exports; a run that finds its own there
        resumes.
      report: called with progress.
      preprocessor: directory of a module whose outputs feed the base module; None where features
        feed it. ``train``, ``evaluate`` and ``serving`` give its inputs then.
      serving_resources: the object in which ``serving`` has tables or weights, such as TFX
        Transform's layer. TensorFlow saves those that are eager, as for a SavedModel, only where
        they are named.
      sources: digests of what else it is made from: of the rows (``examples``), and of the code
        that built a new module (``module_fn``).
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
    preprocessor: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str | None]:
        """Of the sources and the modules, which must be the same ones where a run resumes."""
        modules = {"base": self.base, "preprocessor": self.preprocessor}
        return dict(self.sources) | {
            name: None if path is None else Manifest.of_directory(path).digest
            for name, path in modules.items()
        }


@dataclass(frozen=True)
class Trained:
    """What a trainer leaves in its work directory, from where ``deliver`` copies it.

    Attributes:
      newest: the module after the last step.
      best: the module with the smallest evaluation loss; may be ``newest``.
      serving: a SavedModel of the best one, with the signature ``serving_default``: ``examples``
        ``[batch] string`` -> the head's predictions.
      metrics: evaluation of ``newest``: ``loss`` and the head's own.
      best_metrics: evaluation of ``best``.
      steps: steps that were trained, fewer than configured where training stopped early.
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
        """Runs a training, or resumes one that was cut off.

        Raises:
          AuthoringError: nothing was exported, or the module cannot be trained (no trainable
            variable, a signature that cannot be applied in training).
          InputError: there is no row, or one does not hold what the module takes.
          OutputError: ``job.work_dir`` holds another training.
        """


@contextmanager
def naming_features() -> Iterator[None]:
    """Says, around a trainer, which feature TensorFlow cannot parse in a tf.Example.

    Raises:
      InputError: a row has no value of the feature, too many, or one that the module does not take.
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
