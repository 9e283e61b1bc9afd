"""Fine-tunes modules in TF1 hub format: tf.estimator trains, hub.LatestModuleExporter exports.

What is where in the work directory::

    checkpoint, model.ckpt-*    tf.estimator's: from where a run that was cut off resumes
    events.*, eval/             for TensorBoard
    export/                     where the exporters write; what they leave there is incomplete
    evaluated/                  complete exports, and in evaluations.json what they are
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from hub_tfx.errors import AuthoringError, InputError
from hub_tfx.finetune.checks import check_gradients
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.tf1_hub.evaluations import MODULE, SERVING, Evaluations
from hub_tfx.finetune.tf1_hub.graphs import (
    ROWS,
    Model,
    Variants,
    ever_learns,
    exporter_receiver,
    serving_receiver,
)
from hub_tfx.finetune.training import Progress, Trained, TrainingJob, naming_features
from hub_tfx.module.create.export import canonicalize, staged
from hub_tfx.module.files import SAVED_MODEL
from hub_tfx.module.process import threads

_REPORT_EVERY_S = 0.5


@naming_features()
def train(job: TrainingJob) -> Trained:
    """Trains a module in TF1 hub format, or resumes a run in ``job.work_dir`` that was cut off.

    A module that is frozen is applied as for inference. Once it learns, it is applied in its
    variant for training, if it has one, with the losses and updates that this brings.

    Works in eager mode and touches no graph of the caller's.

    Raises:
      AuthoringError: the module cannot be trained, the loss is no longer a number, or nothing was
        exported.
      InputError: there is no row to train on, or to evaluate on, or one does not hold what the
        module takes.
      OutputError: ``job.work_dir`` holds another training, or cannot be written.
    """
    with _quiet():
        evaluations = Evaluations(job)
        variants = Variants.of(job)
        if ever_learns(job.config):
            learning = Model(job, variants, True, lambda loss, step: None)
            check_gradients(job.base, learning.differentiate)
        speed = _Speed()
        exporter = _Exporter(job, evaluations, speed)
        for learns, until in _stages(job.config):
            hook = partial(_Steps, job, evaluations, speed, until)
            model = Model(job, variants, learns, hook)
            _train_until(until, model, evaluations, speed, exporter)
    return evaluations.trained()


def _stages(config: FineTuneConfig) -> list[tuple[bool, int]]:
    """(whether the module learns, until which step), in order.

    Two graphs rather than one with a condition: a module that is frozen must not use dropout or
    update its averages, and its gradients cost time.
    """
    if not ever_learns(config):
        return [(False, config.steps)]
    frozen = min(config.unfreeze_after or 0, config.steps)
    return [(learns, until) for learns, until in ((False, frozen), (True, config.steps)) if until]


def _train_until(
    step: int, model: Model, evaluations: Evaluations, speed: "_Speed", exporter: "_Exporter"
) -> None:
    job = model.job
    estimator = tf.estimator.Estimator(
        model.build,
        config=tf.estimator.RunConfig(
            model_dir=os.fspath(job.work_dir),
            tf_random_seed=job.config.seed,
            save_checkpoints_steps=job.config.eval_every,
            checkpoint_save_graph_def=False,
            session_config=tf.compat.v1.ConfigProto(
                allow_soft_placement=True,
                intra_op_parallelism_threads=threads(),
                inter_op_parallelism_threads=threads(),
            ),
        ),
    )
    evaluation = tf.estimator.EvalSpec(
        job.evaluate,
        steps=job.config.eval_steps,
        exporters=exporter,
        start_delay_secs=0,
        throttle_secs=0,
    )
    done = _evaluate_newest(estimator, evaluation, evaluations)
    # What was seen is read, but not seen again: a run that was cut off ends as any other.
    training = tf.estimator.TrainSpec(
        lambda: job.train().skip(done), max_steps=step, saving_listeners=[speed]
    )
    speed.rest(done)
    if not evaluations.stalled:
        try:
            tf.estimator.train_and_evaluate(estimator, training, evaluation)
        except tf.estimator.NanLossDuringTrainingError as error:
            raise AuthoringError(
                "the training loss is no longer a number: lower the learning rates, "
                "or look for extreme values in the training data"
            ) from error
    _evaluate_newest(estimator, evaluation, evaluations)


def _evaluate_newest(estimator: Any, evaluation: Any, evaluations: Evaluations) -> int:
    """Makes up for what a kill, or a clock that was set back, kept from being evaluated.

    Returns:
      How many steps are done.
    """
    checkpoint = estimator.latest_checkpoint()
    if checkpoint is None:
        return 0
    step = int(tf.train.load_variable(checkpoint, tf.compat.v1.GraphKeys.GLOBAL_STEP))
    if step == 0 or step in evaluations.history:
        return step
    metrics = estimator.evaluate(evaluation.input_fn, evaluation.steps, checkpoint_path=checkpoint)
    for exporter in evaluation.exporters:
        folder = os.path.join(estimator.model_dir, "export", exporter.name)
        exporter.export(estimator, folder, checkpoint, metrics)
    return step


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides that Estimators and TF1 hub format are deprecated: whoever is here knows."""
    loggers = [logging.getLogger("tensorflow"), logging.getLogger("absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.ERROR))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Exporter(hub.LatestModuleExporter):
    """hub's exporter, and the serving model where the evaluation is the best so far.

    hub names exports by the clock and collects by these names; here each is moved to a directory
    of its step when it is complete, so that neither a clock nor a kill makes it disappear.
    """

    def __init__(self, job: TrainingJob, evaluations: Evaluations, speed: "_Speed"):
        super().__init__(MODULE, partial(exporter_receiver, job), exports_to_keep=None)
        self._job = job
        self._evaluations = evaluations
        self._speed = speed

    def export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str | None = None,
        eval_result: Mapping[str, Any] | None = None,
        is_the_final_export: bool | None = None,
    ) -> str:
        """Exports and records one evaluation; returns its directory."""
        assert eval_result is not None
        metrics = {name: float(value) for name, value in eval_result.items()}
        step = int(metrics.pop(tf.compat.v1.GraphKeys.GLOBAL_STEP))
        if not (step and metrics.pop(ROWS)):
            what = "evaluation" if step else "training"
            raise InputError(f"there is no row of {what} data with a known label")
        self._export(estimator, export_path, checkpoint_path, step, metrics)
        self._evaluations.add(step, metrics)
        self._job.report(Progress(step, None, metrics, self._speed.steps_per_s))
        self._speed.rest(step)
        return os.fspath(self._evaluations.folder(step))

    def _export(
        self,
        estimator: Any,
        export_path: str,
        checkpoint_path: str | None,
        step: int,
        metrics: Mapping[str, float],
    ) -> None:
        with staged(self._evaluations.folder(step)) as directory:
            exported = super().export(estimator, export_path, checkpoint_path)
            if exported is None:
                raise AuthoringError("nothing was exported: no module was registered for export")
            os.rename(os.path.join(os.fsdecode(exported), MODULE), directory / MODULE)
            canonicalize(directory / MODULE / SAVED_MODEL)
            if self._evaluations.is_best(metrics):
                serving = estimator.export_saved_model(
                    os.path.join(os.path.dirname(export_path), SERVING),
                    partial(serving_receiver, self._job),
                    checkpoint_path=checkpoint_path,
                )
                os.rename(os.fsdecode(serving), directory / SERVING)


class _Speed(tf.estimator.CheckpointSaverListener):
    """Steps a second, without the time that evaluations take: these begin with a checkpoint."""

    def __init__(self) -> None:
        self.steps_per_s = 0.0
        self.rest(0)

    def rest(self, step: int) -> None:
        """Starts to count and to time again."""
        self._step, self._at_s = step, time.monotonic()

    def measure(self, step: int) -> None:
        if step > self._step:
            self.steps_per_s = (step - self._step) / max(time.monotonic() - self._at_s, 1e-6)
            self.rest(step)

    def before_save(self, session: Any, global_step_value: int) -> None:
        self.measure(global_step_value)

    def is_due(self, step: int) -> bool:
        """Whether it is time for a report."""
        return step > self._step and time.monotonic() - self._at_s >= _REPORT_EVERY_S


class _Steps(tf.estimator.SessionRunHook):
    """Takes most steps, reports the loss, and stops where evaluations no longer get better.

    An Estimator's own step asks all hooks what they want and looks up each of that in the graph,
    which takes longer than the work of a small module. So it takes those steps at which there is
    something to do: a report, an evaluation, the end. The others are taken here, in between.

    Hooks run after the evaluation of their step, so that no step is taken in vain.
    """

    def __init__(
        self,
        job: TrainingJob,
        evaluations: Evaluations,
        speed: _Speed,
        until: int,
        loss: Any,
        step: Any,
    ):
        self._job = job
        self._evaluations = evaluations
        self._speed = speed
        self._until = until
        self._fetches = {"loss": loss, "step": step}

    def after_create_session(self, session: Any, coord: Any) -> None:
        self._first = int(session.run(tf.compat.v1.train.get_global_step()))
        self._take_step = session.make_callable(self._fetches["step"])
        self._speed.rest(self._first)

    def before_run(self, run_context: Any) -> Any:
        return tf.estimator.SessionRunArgs(self._fetches)

    def after_run(self, run_context: Any, run_values: Any) -> None:
        step, loss = int(run_values.results["step"]), float(run_values.results["loss"])
        if self._speed.is_due(step) or step in self._evaluations.history:
            self._speed.measure(step)
            self._job.report(Progress(step, loss, None, self._speed.steps_per_s))
        if self._evaluations.stalled:
            run_context.request_stop()
            return
        # The step before an evaluation is Estimator's too: it looks whether the loss is a number.
        last = self._next_evaluation(step) - 2
        while step < last and not self._speed.is_due(step + 1):
            step = int(self._take_step())

    def _next_evaluation(self, step: int) -> int:
        """They are counted from where the session began, and there is one at the end."""
        every = self._job.config.eval_every
        return min(step + every - (step - self._first) % every, self._until)
