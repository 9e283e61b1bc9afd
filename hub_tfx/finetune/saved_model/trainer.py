"""Fine-tunes a reusable TF2 SavedModel: a training loop of our own, of which TensorFlow runs as
many steps at a time as take about a second."""

import json
import math
import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import tensorflow as tf

from hub_tfx._files import remove_temporary, replacing
from hub_tfx.errors import AuthoringError, InputError, OutputError
from hub_tfx.finetune.checks import check_gradients, naming_gradients
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.identity import check_same, identity_of
from hub_tfx.finetune.saved_model.model import TunableModel, write_serving
from hub_tfx.finetune.saved_model.tunable import check_tunable, load_tunable
from hub_tfx.finetune.schedule import factor, index_of_best, is_stalled, module_factor
from hub_tfx.finetune.training import Inputs, Progress, Trained, TrainingJob, naming_features
from hub_tfx.module.create.export import eagerly

_REPORT_EVERY_S = 1.0
_IDENTITY = "training.json"
_EVENTS = ("train", "eval")
_EXPORTS = ("newest", "best", "serving")


@naming_features()
def train(job: TrainingJob) -> Trained:
    """Trains a module's ``__call__``, or resumes a training that was cut off; see ``Trainer``.

    While the module is frozen it is called as for inference, so that nothing in it changes, moving
    averages included. In ``work_dir``: ``checkpoints/``, ``events/`` for TensorBoard,
    ``training.json``, which says what is trained there, and when it is over ``newest/``, ``best/``
    unless that is ``newest/``, and ``serving/``, which holds the best. A run that resumes
    trains on the batches that it has not seen; to get there it reads the others, and leaves them.

    Raises:
      AuthoringError: the module cannot be trained, or the loss is no longer finite.
      InputError: there is no row to train on, or to evaluate on, one does not hold what the module
        takes, or a checkpoint cannot be read.
      NotAModuleError: the module cannot be loaded.
      OutputError: ``work_dir`` cannot be written, or belongs to another training.
    """
    check_tunable(job.base, job.signature)
    _claim(job)
    with eagerly(), load_tunable(job.base, job.signature_spec, job.config.seed) as module:
        run = _Run(job, TunableModel(job, module))
        run.restore()
        run.train()
        return run.export()


def _claim(job: TrainingJob) -> None:
    """Makes ``work_dir`` this training's own, and removes what a killed run left half written."""
    job.work_dir.mkdir(parents=True, exist_ok=True)
    file, identity = job.work_dir / _IDENTITY, identity_of(job)
    if file.exists():
        check_same(json.loads(file.read_text()), identity, job.work_dir)
    else:
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(identity, indent=2))
    remove_temporary(job.work_dir)


# --- Training ------------------------------------------------------------------------------------


class _Record(tf.train.experimental.PythonState):  # type: ignore[misc]
    """Evaluations so far, kept with the checkpoints.

    Attributes:
      history: (step, metrics) in order.
    """

    def __init__(self) -> None:
        self.history: list[tuple[int, Mapping[str, float]]] = []

    def serialize(self) -> str:
        return json.dumps(self.history)

    def deserialize(self, string_value: str) -> None:
        self.history = [(step, metrics) for step, metrics in json.loads(string_value)]

    def is_over(self, config: FineTuneConfig) -> bool:
        """Whether the last evaluation was the last of the training."""
        if not self.history:
            return False
        return self.history[-1][0] >= config.steps or is_stalled(config, self.history)


class _Run:
    """One training, from where it is to its end."""

    def __init__(self, job: TrainingJob, model: TunableModel):
        self._job, self._config, self._model = job, job.config, model
        self._step = tf.Variable(0, dtype=tf.int64, name="step")
        self._record = _Record()
        # The older of Keras' two Adams has one fused op a variable: a step of a 20,000 x 64
        # embedding table takes half the time.
        adam = tf.keras.optimizers.legacy.Adam
        config, step = job.config, self._step
        self._head_optimizer = adam(lambda: config.learning_rate * factor(config, step))
        self._module_optimizer = adam(lambda: config.module_lr * module_factor(config, step))
        checkpoint = tf.train.Checkpoint(
            model=model.state,
            head_optimizer=self._head_optimizer,
            module_optimizer=self._module_optimizer,
            step=self._step,
            record=self._record,
        )
        # Two of the best: a run that is killed between the saving of a new best and of the record
        # that names it resumes from the record that names the one before.
        folder = job.work_dir / "checkpoints"
        self._newest = tf.train.CheckpointManager(checkpoint, str(folder / "newest"), 1)
        self._best = tf.train.CheckpointManager(model.state, str(folder / "best"), 2)
        self._metrics = job.head.metrics()
        self._loss = tf.keras.metrics.Mean()
        self._rate = 0.0
        self._made: dict[bool, Any] = {}
        self._evaluate_batch: Any = None

    def restore(self) -> None:
        """Goes back to the newest checkpoint, if there is one."""
        if path := self._newest.latest_checkpoint:
            # Created before the restoring, which would otherwise wait until the best is next saved
            # or read, and then look for this checkpoint, which is deleted by then.
            _ = self._model.state.save_counter
            self._read(self._newest.checkpoint, path)

    def train(self) -> None:
        """Trains and evaluates until all steps are done, or no evaluation gets better."""
        if self._record.is_over(self._config):
            return
        self._check_learns()
        for name in _EXPORTS:  # Of a run with fewer steps, which ended.
            shutil.rmtree(self._job.work_dir / name, ignore_errors=True)
        events = self._job.work_dir / "events"
        on_train, on_eval = (tf.summary.create_file_writer(str(events / k)) for k in _EVENTS)
        with closing(on_train), closing(on_eval):
            batches = iter(self._job.train().skip(int(self._step)))
            if self._is_learning(self._config.steps - 1):
                steps = self._steps(True)
                check_gradients(
                    self._job.base, lambda: steps.get_concrete_function(batches, tf.constant(0))
                )
            while not self._record.is_over(self._config):
                with on_train.as_default():
                    self._train_until(self._next_evaluation(), batches)
                with on_eval.as_default():
                    self._evaluate()
                for writer in (on_train, on_eval):
                    writer.flush()
                self._save()

    def export(self) -> Trained:
        """Writes the modules and the serving model, unless it did so before it was cut off."""
        folder, history = self._job.work_dir, self._record.history
        best_step, best_metrics = history[index_of_best(history)]
        newest = best = folder / "newest"
        if not newest.exists():
            self._model.module.write(newest)
        if best_step != history[-1][0]:
            best = folder / "best"
            self._read(self._best.checkpoint, f"{self._best.directory}/ckpt-{best_step}")
            if not best.exists():
                self._model.module.write(best)
        serving = folder / "serving"
        if not serving.exists():
            write_serving(self._job, self._model, serving)
        return Trained(
            newest=newest,
            best=best,
            serving=serving,
            metrics=history[-1][1],
            best_metrics=best_metrics,
            steps=history[-1][0],
            history=tuple(history),
        )

    # Steps ---------------------------------------------------------------------------------------

    def _check_learns(self) -> None:
        if self._is_learning(self._config.steps - 1):
            if not self._model.module.trainable:
                raise AuthoringError(
                    f"{self._job.base} has no trainable variable: freeze it to train the head alone"
                )
        elif not self._model.head_variables:
            raise AuthoringError(
                "similarity has no head: with a frozen module there is nothing to learn"
            )

    def _is_learning(self, step: int) -> bool:
        """Whether the module learns at a step: where its rate, schedule and all, is not 0."""
        config, thaws = self._config, self._config.unfreeze_after
        thawed = not config.freeze or (thaws is not None and step >= thaws)
        return thawed and config.module_lr > 0

    def _next_evaluation(self) -> int:
        every = self._config.eval_every
        return min((int(self._step) // every + 1) * every, self._config.steps)

    def _train_until(self, end: int, batches: Any) -> None:
        """Reports and writes events about once in _REPORT_EVERY_S, when it waits for TensorFlow."""
        step = int(self._step)
        while step < end:
            learning = self._is_learning(step)
            thaws = self._config.unfreeze_after
            stop = thaws if thaws is not None and step < thaws < end else end
            count = min(stop - step, max(1, int(self._rate * _REPORT_EVERY_S)))
            started_s = time.perf_counter()
            try:
                loss = float(self._steps(learning)(batches, tf.constant(count)))
            except tf.errors.OutOfRangeError as error:
                raise InputError("there is no row of training data with a known label") from error
            self._rate = count / (time.perf_counter() - started_s)
            step += count
            _check_finite(loss, "training", step)
            tf.summary.scalar("loss", loss, step)
            tf.summary.scalar("steps_per_s", self._rate, step)
            self._job.report(Progress(step, loss, None, self._rate))

    def _steps(self, learning: bool) -> Any:
        """tf.function (iterator, count) -> loss of the last of so many steps."""
        if learning in self._made:
            return self._made[learning]

        def run(batches: Any, count: Any) -> Any:
            def one(i: Any, _: Any) -> Any:
                inputs, labels = batches.get_next()
                return i + 1, self._one_step(inputs, labels, learning)

            start = (tf.constant(0), tf.zeros([]))
            return tf.while_loop(lambda i, _: i < count, one, start)[1]

        self._made[learning] = tf.function(run, autograph=False)
        return self._made[learning]

    def _one_step(self, inputs: Inputs, labels: Any, learning: bool) -> Any:
        model = self._model
        variables = model.head_variables, model.module.trainable if learning else []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = model.logits(inputs, True, learning, self._step)
            loss = self._job.head.loss(labels, logits) + model.penalty(learning)
        with naming_gradients(self._job.base):
            gradients = tape.gradient(loss, variables)
        if learning and all(gradient is None for gradient in gradients[1]):
            raise AuthoringError(
                f"{self._job.base}: the output that is learned from depends on no trainable "
                "variable: freeze the module to train the head alone"
            )
        optimizers = self._head_optimizer, self._module_optimizer
        for optimizer, group, slopes in zip(optimizers, variables, gradients, strict=True):
            reached = [(g, v) for g, v in zip(slopes, group, strict=True) if g is not None]
            if reached:
                optimizer.apply_gradients(reached)
        self._step.assign_add(1)
        return loss

    # Evaluations and checkpoints -----------------------------------------------------------------

    def _evaluate(self) -> None:
        """Adds an evaluation to the record, and tells of it."""
        step = int(self._step)
        for metric in (self._loss, *self._metrics.values()):
            metric.reset_state()
        dataset = self._job.evaluate().take(self._config.eval_steps or -1)
        if self._evaluate_batch is None:
            self._evaluate_batch = tf.function(
                self._add_batch, input_signature=dataset.element_spec, autograph=False
            )
        for inputs, labels in dataset:
            self._evaluate_batch(inputs, labels)
        if not float(self._loss.count):
            raise InputError("there is no row to evaluate on: give evaluation data")
        named = {"loss": self._loss} | self._metrics
        metrics = {name: float(metric.result()) for name, metric in named.items()}
        _check_finite(metrics["loss"], "evaluation", step)
        for name, value in metrics.items():
            tf.summary.scalar(name, value, step)
        self._record.history.append((step, metrics))
        self._job.report(Progress(step, None, metrics, self._rate))

    def _add_batch(self, inputs: Inputs, labels: Any) -> None:
        logits = self._model.logits(inputs, False, False, self._step)
        rows = tf.shape(logits)[0]
        self._loss.update_state(self._job.head.loss(labels, logits), tf.cast(rows, tf.float32))
        self._job.head.update(self._metrics, labels, logits)

    def _save(self) -> None:
        step, history = int(self._step), self._record.history
        try:
            if history[index_of_best(history)][0] == step:
                self._best.save(step)
            self._newest.save(step)
        except tf.errors.OpError as error:
            raise OutputError(
                f"the checkpoint of step {step} cannot be written to {self._newest.directory}: "
                f"{error.message}"
            ) from error

    def _read(self, checkpoint: Any, path: str) -> None:
        try:
            checkpoint.restore(path).assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise InputError(
                f"the checkpoint {path} cannot be read: {error}; remove {self._job.work_dir} to "
                "train from the start"
            ) from error


def _check_finite(loss: float, kind: str, step: int) -> None:
    if not math.isfinite(loss):
        raise AuthoringError(
            f"the {kind} loss at step {step} is {loss}: lower the learning rates, or raise "
            "warmup_steps"
        )
