"""The graphs of a module in TF1 hub format that is fine-tuned: an Estimator's ``model_fn``."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError
from hub_tfx.finetune import schedule
from hub_tfx.finetune.checks import naming_gradients
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.preprocess import Preprocess
from hub_tfx.finetune.tf1_hub.evaluations import MODULE
from hub_tfx.finetune.training import PAIR, Inputs, TrainingJob
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import as_input

ROWS = "rows"
"""Name of the metric that counts the rows of an evaluation."""

_HEAD = "head"  # Scope of its variables; those of the module are in the scope MODULE.
_EXPORTING = ("__hub_tfx_exporting",)  # Tuples, as hub does it, keep collections out of files.
_Modes = tf.estimator.ModeKeys
_Tags = frozenset[str]


def ever_learns(config: FineTuneConfig) -> bool:
    """Whether the module learns at some step."""
    return config.module_lr > 0 and not (config.freeze and config.unfreeze_after is None)


@dataclass(frozen=True)
class Variants:
    """Graph variants of the module by what they are for.

    Attributes:
      inference: tags of the plain one.
      training: tags of the one that learns; the plain one where there is no other.
      whole: tags of the one that has all variables: only from it a module can be exported.
      trainable: names of the variables that learn.
    """

    inference: _Tags
    training: _Tags
    whole: _Tags
    trainable: frozenset[str]

    @classmethod
    def of(cls, job: TrainingJob) -> "Variants":
        spec = inspect(job.base)
        inference = frozenset(spec.tags[0])
        training = frozenset({"train"}) if ("train",) in spec.tags else inference
        plain, _ = _variables(job.base, inference)
        every, trainable = _variables(job.base, training)
        if ever_learns(job.config):
            named = f"the module's variant {sorted(training) or '{}'}"
            if job.signature not in spec.get_signature_names(training):
                raise AuthoringError(f"{named} has no signature {job.signature!r} to be trained")
            if missing := sorted(plain - every):
                raise AuthoringError(f"{named} lacks {missing[0]}, which inference needs")
            if not trainable:
                raise AuthoringError(f"{named} has no trainable variable: set freeze")
        return cls(inference, training, training if every > plain else inference, trainable)


def _variables(base: Path, tags: _Tags) -> tuple[frozenset[str], frozenset[str]]:
    """Names of all variables of a variant, and of those that learn."""
    with tf.Graph().as_default():
        hub.Module(os.fspath(base), trainable=True, tags=set(tags), name=MODULE)
        variables = tf.compat.v1.global_variables(), tf.compat.v1.trainable_variables()
    every, trainable = (frozenset(v.name for v in group) for group in variables)
    return every, trainable


@dataclass(frozen=True)
class Model:
    """Builds the graphs of one stage of training. The variables are the same in every stage.

    Attributes:
      job: what is trained.
      variants: of its module.
      learns: whether the module does, at this stage.
      hook: makes a hook for training from the loss and from the operation that takes a step.
    """

    job: TrainingJob
    variants: Variants
    learns: bool
    hook: Callable[[Any, Any], Any]

    def build(self, features: Inputs, labels: Any, mode: str) -> Any:
        """The ``model_fn``. LatestModuleExporter calls it in PREDICT mode with ``labels=None``."""
        head = self.job.head
        module = self._module(mode)
        hub.register_module_for_export(module, MODULE)
        logits = self._logits(module, self._preprocessed(features), mode)
        if mode == _Modes.PREDICT:
            predictions = head.predictions(logits)
            output = tf.estimator.export.PredictOutput(predictions)
            return tf.estimator.EstimatorSpec(
                mode, predictions, export_outputs={"serving_default": output}
            )
        loss = head.loss(labels, logits)
        if mode == _Modes.EVAL:
            metrics = head.metrics()
            head.update(metrics, labels, logits)
            metrics[ROWS] = tf.keras.metrics.Sum(name=ROWS)
            metrics[ROWS].update_state(tf.ones(tf.shape(labels)[:1]))
            return tf.estimator.EstimatorSpec(mode, loss=loss, eval_metric_ops=metrics)
        loss += self._penalties()
        step = self._train_op(loss)
        hooks = [self.hook(loss, step)]
        return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=step, training_hooks=hooks)

    def differentiate(self) -> None:
        """Builds the gradients of a training step in a graph that is thrown away."""
        with tf.Graph().as_default():
            tf.compat.v1.train.create_global_step()
            batches = tf.compat.v1.data.make_initializable_iterator(self.job.train())
            features, labels = batches.get_next()
            module = self._module(_Modes.TRAIN)
            logits = self._logits(module, self._preprocessed(features), _Modes.TRAIN)
            self._train_op(self.job.head.loss(labels, logits))

    def _preprocessed(self, features: Inputs) -> Inputs:
        if self.job.preprocessor is None:
            return features
        return Preprocess(self.job.preprocessor, self.job.signature_spec)(features)

    def _module(self, mode: str) -> Any:
        learns = mode == _Modes.TRAIN and self.learns
        tags = self.variants.inference
        if learns:
            tags = self.variants.training
        elif mode == _Modes.TRAIN or tf.compat.v1.get_collection(_EXPORTING):
            tags = self.variants.whole
        spec = hub.load_module_spec(os.fspath(self.job.base))
        if learns:
            _seed(spec, tags, self.job.config.seed)
        return hub.Module(spec, trainable=learns, tags=set(tags), name=MODULE)

    def _logits(self, module: Any, features: Inputs, mode: str) -> Any:
        first = {key: value for key, value in features.items() if not key.startswith(PAIR)}
        vectors = self._vectors(module, first)
        if self.job.head.units == 0:
            second = {key: features[PAIR + key] for key in first}
            pair = (vectors, self._vectors(module, second))
            one, other = (tf.math.l2_normalize(vector, axis=1, epsilon=1e-6) for vector in pair)
            return tf.reduce_sum(one * other, axis=1)
        config = self.job.config
        for number, units in enumerate([*config.hidden, self.job.head.units]):
            if number:
                vectors = tf.nn.relu(vectors)
            if config.dropout and mode == _Modes.TRAIN:
                vectors = tf.nn.dropout(vectors, config.dropout)
            vectors = _dense(vectors, units, f"{_HEAD}/dense_{number}")
        return vectors

    def _vectors(self, module: Any, inputs: Inputs) -> Any:
        """The module's output ``[batch, dim] float32``."""
        infos = self.job.signature_spec.inputs
        given = {key: as_input(value, infos[key]) for key, value in inputs.items()}
        outputs = module(given, signature=self.job.signature, as_dict=True)
        name = "default" if "default" in outputs or len(outputs) != 1 else next(iter(outputs))
        if name not in outputs:
            raise AuthoringError(
                f"signature {self.job.signature!r} has several outputs and none named default: "
                f"{', '.join(sorted(outputs))}"
            )
        vectors = outputs[name]
        if vectors.shape.rank != 2 or vectors.shape[1] is None or not vectors.dtype.is_floating:
            raise AuthoringError(
                f"output {name!r} of signature {self.job.signature!r} is {vectors.dtype.name} "
                f"{vectors.shape}: to be trained it must be one vector of numbers a row"
            )
        return tf.cast(vectors, tf.float32)

    def _penalties(self) -> Any:
        """What the module brings in REGULARIZATION_LOSSES, and the decay of the head's weights."""
        losses = list(tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.REGULARIZATION_LOSSES))
        if decay := self.job.config.weight_decay:
            kernels = [v for v in _trainable(_HEAD) if v.op.name.endswith("/kernel")]
            losses += [decay * tf.reduce_sum(tf.square(kernel)) for kernel in kernels]
        return tf.add_n(losses) if losses else 0.0

    def _train_op(self, loss: Any) -> Any:
        """Adam for the head and for the module, each with its own rate; gives the step's number."""
        config, step = self.job.config, tf.compat.v1.train.get_global_step()
        head, module = _trainable(_HEAD), self._learning_variables()
        if not head and not module:
            raise AuthoringError("nothing can learn: the module is frozen and there is no head")
        with naming_gradients(self.job.base):
            gradients = tf.gradients(loss, head + (module if self.learns else []))
        if self.learns and all(gradient is None for gradient in gradients[len(head) :]):
            raise AuthoringError(
                f"signature {self.job.signature!r} cannot be trained: its output depends on no "
                "trainable variable, or through no operation that has a gradient"
            )
        # All gradients before any variable changes: modules of old have variables without locks.
        before = [gradient for gradient in gradients if gradient is not None]
        before += tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.UPDATE_OPS)
        with tf.control_dependencies(before):
            rate = config.learning_rate * schedule.factor(config, step)
            steps = _adam(_HEAD, rate, gradients, head)
            rate = config.module_lr * schedule.module_factor(config, step)
            if self.learns:
                steps += _adam(MODULE, rate, gradients[len(head) :], module)
            else:  # Never run: it makes the moments, which the next stage wants in the checkpoint.
                _adam(MODULE, rate, [tf.zeros_like(v) for v in module], module)
        with tf.control_dependencies(steps):
            return tf.identity(tf.compat.v1.assign_add(step, 1))

    def _learning_variables(self) -> list[Any]:
        if not ever_learns(self.job.config):
            return []
        every = tf.compat.v1.global_variables()
        return [variable for variable in every if variable.name in self.variants.trainable]


def _adam(group: str, rate: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
    if not variables:
        return []
    tf.compat.v1.summary.scalar(f"learning_rate/{group}", rate)
    optimizer = tf.compat.v1.train.AdamOptimizer(rate, name=f"adam/{group}")
    return [optimizer.apply_gradients(zip(gradients, variables, strict=False))]


def _trainable(scope: str) -> list[Any]:
    return list(tf.compat.v1.trainable_variables(f"{scope}/"))


def _dense(vectors: Any, units: int, name: str) -> Any:
    with tf.compat.v1.variable_scope(name):
        kernel = tf.compat.v1.get_variable(
            "kernel",
            [vectors.shape[1], units],
            initializer=tf.compat.v1.glorot_uniform_initializer(),
        )
        bias = tf.compat.v1.get_variable(
            "bias", [units], initializer=tf.compat.v1.zeros_initializer()
        )
    return tf.matmul(vectors, kernel) + bias


def _seed(spec: Any, tags: _Tags, seed: int) -> None:
    """Gives the module's random operations, such as dropout, a seed if they have none.

    In the graph as hub read it, since the graph-level seed reaches only what is newly built. Seeds
    of 0 mean none, and are not in the file.
    """
    graph = spec._saved_model_handler.get_meta_graph(tags)
    random = {
        op.name
        for op in graph.meta_info_def.stripped_op_list.op
        if {"seed", "seed2"} <= {attribute.name for attribute in op.attr}
    }
    bodies = [graph.graph_def.node, *(f.node_def for f in graph.graph_def.library.function)]
    nodes = [node for body in bodies for node in body if node.op in random]
    for number, node in enumerate(nodes):
        if not (node.attr["seed"].i or node.attr["seed2"].i):
            node.attr["seed"].i, node.attr["seed2"].i = seed, number + 1


def serving_receiver(job: TrainingJob) -> Any:
    """Takes ``examples``: serialized tf.Examples ``[batch] string``."""
    examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
    features = dict(job.serving(examples))
    return tf.estimator.export.ServingInputReceiver(features, {"examples": examples})


def exporter_receiver(job: TrainingJob) -> Any:
    """The same, and tells the model that its graph is never run, only exported from."""
    tf.compat.v1.add_to_collection(_EXPORTING, True)
    return serving_receiver(job)
