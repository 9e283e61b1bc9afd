"""What is put on top of a module while it learns: logits, loss, metrics. The same for both formats.

Everything here is plain TensorFlow that works in an Estimator's graph as it does eagerly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from hub_tfx.finetune.config import FineTuneConfig, Task


@dataclass(frozen=True)
class Head:
    """Loss, metrics and predictions of one task.

    Attributes:
      task: see FineTuneConfig.
      classes: names, by id; empty for ``regression`` and ``similarity``.
      weights: of the classes, by id.
    """

    task: Task
    classes: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()

    @classmethod
    def of(cls, config: FineTuneConfig, classes: Sequence[str]) -> "Head":
        weights = tuple(float(config.class_weights.get(name, 1.0)) for name in classes)
        return cls(config.task, tuple(classes), weights)

    @property
    def units(self) -> int:
        """Size of the logits: ``[batch, units]``; 0 where the module's own vectors are compared."""
        match self.task:
            case "classification":
                return 1 if len(self.classes) == 2 else len(self.classes)
            case "multilabel":
                return len(self.classes)
            case "regression":
                return 1
        return 0

    def loss(self, labels: Any, logits: Any) -> Any:
        """Mean loss of a batch, weighted by class: a scalar.

        Args:
          labels: ``[batch] int64`` ids, ``[batch, classes] float32`` of 0 and 1 for multilabel,
            ``[batch] float32`` otherwise.
          logits: ``[batch, units] float32``; for similarity ``[batch] float32`` cosines.
        """
        match self.task:
            case "classification":
                losses = self._class_losses(labels, logits)
                weights = tf.gather(tf.constant(self.weights), labels)
                return tf.math.divide_no_nan(
                    tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
                )
            case "multilabel":
                losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, logits)
                return tf.reduce_mean(losses * tf.constant(self.weights))
            case "regression":
                return tf.reduce_mean(tf.square(labels - logits[:, 0]))
        # Contrastive: pairs that belong together go to cosine 1, others below a half.
        apart = tf.square(tf.nn.relu(logits - 0.5))
        return tf.reduce_mean(labels * tf.square(1 - logits) + (1 - labels) * apart)

    def _class_losses(self, labels: Any, logits: Any) -> Any:
        if self.units == 1:
            return tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(labels, tf.float32), logits[:, 0]
            )
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)

    def predictions(self, logits: Any) -> dict[str, Any]:
        """What a serving model answers, by key.

        ``probabilities`` ``[batch, classes]`` and ``classes`` (names ``[batch]`` string; for
        multilabel none) for classifiers, ``value`` ``[batch]`` for regression, ``similarity``
        ``[batch]`` in [-1, 1] for pairs.
        """
        match self.task:
            case "classification":
                if self.units == 1:
                    positive = tf.sigmoid(logits[:, 0])
                    probabilities = tf.stack([1 - positive, positive], axis=1)
                else:
                    probabilities = tf.nn.softmax(logits)
                names = tf.gather(tf.constant(self.classes), tf.argmax(probabilities, axis=1))
                return {"probabilities": probabilities, "classes": names}
            case "multilabel":
                return {"probabilities": tf.sigmoid(logits)}
            case "regression":
                return {"value": logits[:, 0]}
        return {"similarity": logits}

    def metrics(self) -> dict[str, Any]:
        """Keras metrics by name, to be fed by ``update``; ``loss`` comes from the evaluation."""
        metrics = tf.keras.metrics
        match self.task:
            case "classification":
                return {"accuracy": metrics.Mean(name="accuracy")}
            case "multilabel":
                return {
                    "precision": metrics.Precision(name="precision"),
                    "recall": metrics.Recall(name="recall"),
                }
            case "regression":
                return {"mae": metrics.Mean(name="mae")}
        return {"auc": metrics.AUC(name="auc")}

    def update(self, metrics: Mapping[str, Any], labels: Any, logits: Any) -> None:
        """Adds one batch to what ``metrics`` made."""
        match self.task:
            case "classification":
                if self.units == 1:
                    predicted = tf.cast(logits[:, 0] > 0, tf.int64)
                else:
                    predicted = tf.argmax(logits, axis=1)
                # Not ==, which in an Estimator's graph compares the objects.
                correct = tf.equal(predicted, labels)
                metrics["accuracy"].update_state(tf.cast(correct, tf.float32))
            case "multilabel":
                for metric in metrics.values():
                    metric.update_state(labels, tf.sigmoid(logits))
            case "regression":
                metrics["mae"].update_state(tf.abs(labels - logits[:, 0]))
            case _:
                metrics["auc"].update_state(labels, (logits + 1) / 2)
