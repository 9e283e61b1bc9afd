"""A module with the layers of a head on it: what is trained, and what is served."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import tensorflow as tf

from hub_tfx.errors import AuthoringError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.preprocess import Preprocess
from hub_tfx.finetune.saved_model.tunable import TunableModule
from hub_tfx.finetune.training import PAIR, Inputs, TrainingJob
from hub_tfx.module.create.export import staged


class HeadLayers(tf.train.Checkpoint):  # type: ignore[misc]
    """The head's dense layers: ``[batch, width]`` -> logits ``[batch, units]``."""

    def __init__(self, config: FineTuneConfig, width: int, units: int):
        super().__init__()
        self.kernels, self.biases = [], []
        sizes = [width, *config.hidden, units]
        for i, (inner, outer) in enumerate(pairwise(sizes)):
            glorot = tf.keras.initializers.GlorotUniform(config.seed + i)
            self.kernels.append(tf.Variable(glorot([inner, outer]), name=f"kernel_{i}"))
            self.biases.append(tf.Variable(tf.zeros([outer]), name=f"bias_{i}"))

    def __call__(self, values: Any, dropout: float, seed: Any) -> Any:
        """Logits of vectors. The ``seed``, ``[2] int64``, is another one at each step, so that a
        run can resume in the middle."""
        last = len(self.kernels) - 1
        for i, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            if dropout:
                values = tf.nn.experimental.stateless_dropout(values, dropout, tf.add(seed, [i, 0]))
            values = values @ kernel + bias
            values = values if i == last else tf.nn.relu(values)
        return values


class TunableModel:
    """The module and what is put on top of it.

    Attributes:
      module: the module, which learns unless it is frozen.
      layers: layers of the head; None for similarity.
      state: all variables, to save and restore.
      preprocessor: what TensorFlow loaded of the module that feeds the other one, if there is one.
    """

    def __init__(self, job: TrainingJob, module: TunableModule):
        self.module = module
        self._config = job.config
        self._preprocess: Callable[[Inputs], Inputs] = dict
        self.preprocessor = None
        if job.preprocessor is not None:
            preprocess = Preprocess(job.preprocessor, job.signature_spec)
            self._preprocess, self.preprocessor = preprocess, preprocess.loaded
        width = module.width
        if width is None:
            inputs, _ = next(iter(job.evaluate()))
            inputs = self._preprocess(inputs)
            width = int(module(pair(inputs)[0], training=False).shape[-1])
        units = job.head.units
        self.layers = HeadLayers(job.config, width, units) if units else None
        self.state = tf.train.Checkpoint(module=list(module.variables.values()))
        if self.layers:
            self.state.head = self.layers

    @property
    def head_variables(self) -> list[Any]:
        return [*self.layers.kernels, *self.layers.biases] if self.layers else []

    def logits(self, inputs: Inputs, training: bool, learning: bool, step: Any) -> Any:
        """What Head.loss takes.

        Args:
          inputs: by key, those of the second of a pair after PAIR.
          training: whether the head drops units.
          learning: whether the module is called with its training behaviour.
          step: from which the dropped units follow.
        """
        fed = pair(self._preprocess(inputs))
        vectors = [self.module(part, training=learning) for part in fed if part]
        if self.layers is None:
            first, second = (tf.math.l2_normalize(v, axis=1, epsilon=1e-6) for v in vectors)
            return tf.reduce_sum(first * second, axis=1)
        seed = tf.stack([tf.constant(self._config.seed, tf.int64), step])
        return self.layers(vectors[0], self._config.dropout if training else 0.0, seed)

    def penalty(self, learning: bool) -> Any:
        """Losses on weights: the head's, and the module's own while it learns."""
        loss = self.module.regularization() if learning else tf.zeros([])
        if self.layers and self._config.weight_decay:
            squares = [tf.reduce_sum(tf.square(kernel)) for kernel in self.layers.kernels]
            loss += self._config.weight_decay * tf.add_n(squares)
        return loss


def pair(inputs: Inputs) -> tuple[Inputs, Inputs]:
    first = {key: value for key, value in inputs.items() if not key.startswith(PAIR)}
    second = {k.removeprefix(PAIR): v for k, v in inputs.items() if k.startswith(PAIR)}
    return first, second


def write_serving(job: TrainingJob, model: TunableModel, path: Path) -> None:
    """Writes the SavedModel of ``Trained.serving`` with the present weights.

    Raises:
      AuthoringError: ``job.serving`` has tables that ``job.serving_resources`` does not hold.
      OutputError: ``path`` is taken or cannot be written.
    """
    to_logits = tf.autograph.experimental.do_not_convert(model.logits)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])  # type: ignore[misc]
    def serve(examples: Any) -> Any:
        logits = to_logits(job.serving(examples), False, False, tf.zeros([], tf.int64))
        return job.head.predictions(logits)

    served = tf.train.Checkpoint(module=model.module.loaded, state=model.state)
    if job.serving_resources is not None:
        served.resources = job.serving_resources
    if model.preprocessor is not None:
        served.preprocessor = model.preprocessor
    with staged(path) as directory:
        try:
            tf.saved_model.save(served, str(directory), signatures={"serving_default": serve})
        except AssertionError as error:  # Of an "untracked" resource.
            raise AuthoringError(
                "the function from tf.Examples to inputs has a table or weights of its own: give "
                f"what holds them as serving_resources ({error})"
            ) from error
