"""What every trainer promises, as tests: see ``hub_tfx.finetune.training.Trainer``.

A trainer of your own is tested by a subclass, which pytest collects::

    from hub_tfx.testing.trainers import TrainerContract

    class TestMyTrainer(TrainerContract):
        module_format = "saved_model"

        def train(self, job):
            return my_trainer(job)
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import tensorflow as tf

from hub_tfx.errors import InputError, OutputError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.features import signature_of
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.training import Progress, Trained, TrainingJob
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.testing.modules import image_module

_OPTIONS: Mapping[str, Any] = {
    "steps": 40,
    "eval_every": 20,
    "seed": 7,
    "hidden": (4,),
    "dropout": 0.2,
    "weight_decay": 0.01,
    "decay": "linear",
    "freeze": True,
    "unfreeze_after": 20,
}
_CHILD = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from hub_tfx._quiet import quiet_libraries
quiet_libraries()
from hub_tfx.testing.trainers import train_until_killed
train_until_killed(*sys.argv[2:])
"""


def training_job(
    base: Path,
    work_dir: Path,
    inputs: Mapping[str, Any],
    labels: Any,
    classes: tuple[str, ...] = ("no", "yes"),
    **options: Any,
) -> TrainingJob:
    """A job over rows in memory, which are also its evaluation data.

    Args:
      base: directory of the base module, whose default signature is trained.
      work_dir: where the training works.
      inputs: input key, or PAIR and input key -> values, float32 or text.
      labels: one for each row, as ``Head.loss`` takes them.
      classes: names of the classes.
      options: fields of FineTuneConfig.
    """
    defaults = {"steps": 10, "batch_size": 16, "learning_rate": 0.05, "eval_every": 100}
    config = FineTuneConfig("label", **(defaults | options))
    signature, signature_spec = signature_of(config, inspect(base))
    arrays = {key: np.asarray(value) for key, value in inputs.items()}
    features = {
        key: tf.io.FixedLenFeature(
            array.shape[1:], tf.float32 if array.dtype == np.float32 else tf.string
        )
        for key, array in arrays.items()
    }

    def rows() -> Any:
        return tf.data.Dataset.from_tensor_slices((arrays, labels))

    return TrainingJob(
        base=base,
        signature=signature,
        signature_spec=signature_spec,
        head=Head.of(config, classes if config.task in ("classification", "multilabel") else ()),
        config=config,
        train=lambda: rows().shuffle(100, seed=config.seed).repeat().batch(config.batch_size),
        evaluate=lambda: rows().batch(config.batch_size),
        serving=lambda examples: tf.io.parse_example(examples, features),
        work_dir=work_dir,
    )


def image_job(base: Path, work_dir: Path, **options: Any) -> TrainingJob:
    """Tells bright images of 8 x 8 pixels from dark ones."""
    labels = np.arange(32) % 2
    noise = np.random.default_rng(0).uniform(size=(32, 8, 8, 3))
    images = (0.2 * noise + 0.6 * labels[:, None, None, None]).astype(np.float32)
    (key,) = inspect(base).signature().inputs
    return training_job(base, work_dir, {key: images}, labels.astype(np.int64), **options)


def variables_of(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a module, or of the prefix of a checkpoint, by name."""
    path = path / "variables" / "variables" if path.is_dir() else path
    reader = tf.train.load_checkpoint(str(path))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if _is_variable(name)}


def _is_variable(name: str) -> bool:
    """Whether it is one of the module's own: checkpoints of TF2 hold more."""
    if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE"):
        return not name.startswith("save_counter/")
    return "/.ATTRIBUTES/" not in name and name != "_CHECKPOINTABLE_OBJECT_GRAPH"


def changed_variables(one: Path, other: Path) -> set[str]:
    """Names of the variables that differ in a bit between two modules that have the same ones."""
    mine, theirs = variables_of(one), variables_of(other)
    assert mine.keys() == theirs.keys()
    return {name for name in mine if mine[name].tobytes() != theirs[name].tobytes()}


def served(trained: Trained, features: Mapping[str, Any]) -> dict[str, Any]:
    """What the serving model answers for one example: a text or floats for each feature."""
    example = tf.train.Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        if isinstance(value, str):
            feature.bytes_list.value.append(value.encode())
        else:
            feature.float_list.value.extend(np.ravel(value))
    model = tf.saved_model.load(str(trained.serving))
    examples = tf.constant([example.SerializeToString()])
    outputs = model.signatures["serving_default"](examples=examples)
    return {key: tensor.numpy()[0] for key, tensor in outputs.items()}


@dataclass(frozen=True)
class Run:
    """A training that ran to its end, and what it reported."""

    job: TrainingJob
    trained: Trained
    reports: list[Progress]


class TrainerContract:
    """The suite. Most tests look at one run: a frozen module that learns from step 20 to 40.

    Attributes:
      module_format: format of the modules that the trainer takes.
    """

    module_format: ClassVar[ModuleFormat]

    def train(self, job: TrainingJob) -> Trained:
        """Calls the trainer under test."""
        raise NotImplementedError

    def report_often(self, patch: pytest.MonkeyPatch) -> None:
        """Has the trainer report more often than it does, where it is told how often."""

    def fingerprint(self, module: Path) -> Any:
        """What is the same of modules that equal runs export: by default, the variables."""
        return {name: value.tobytes() for name, value in variables_of(module).items()}

    # --- What the tests share --------------------------------------------------------------------

    @pytest.fixture(scope="class")
    def base(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A module with dropout, moving averages and a loss of its own."""
        return image_module(tmp_path_factory.mktemp("base") / "1", self.module_format)

    @pytest.fixture(scope="class")
    def whole(self, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
        """The run that most tests look at, and none changes."""
        return self._run(base, tmp_path_factory.mktemp("whole"))

    def _run(self, base: Path, work_dir: Path, **options: Any) -> Run:
        reports: list[Progress] = []
        job = image_job(base, work_dir, **{**_OPTIONS, **options})
        job = replace(job, report=reports.append)
        return Run(job, self.train(job), reports)

    # --- What comes out --------------------------------------------------------------------------

    def test_training_changes_the_module(self, base: Path, whole: Run) -> None:
        assert changed_variables(whole.trained.newest, base)

    def test_a_module_keeps_the_signatures_of_its_parent(self, base: Path, whole: Run) -> None:
        for module in (whole.trained.newest, whole.trained.best):
            assert inspect(module) == inspect(base)

    def test_a_frozen_module_keeps_its_weights_and_its_head_learns(
        self, base: Path, tmp_path: Path
    ) -> None:
        """Moving averages are weights, too."""
        trained = self.train(image_job(base, tmp_path, steps=60, freeze=True))
        assert not changed_variables(trained.newest, base)
        assert trained.metrics["accuracy"] == 1

    def test_the_serving_model_answers_for_serialized_examples(self, whole: Run) -> None:
        ((key, spec),) = whole.job.signature_spec.inputs.items()
        assert spec.shape is not None
        pixels = np.zeros([size or 1 for size in spec.shape], np.float32)
        answer = served(whole.trained, {key: pixels})
        assert answer["classes"] in (b"no", b"yes")
        assert answer["probabilities"].sum() == pytest.approx(1)

    # --- How it runs -----------------------------------------------------------------------------

    def test_runs_of_one_seed_are_equal_and_of_another_are_not(
        self, base: Path, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Module and head have dropout. How often a run reports makes no difference."""
        other = self._run(base, tmp_path / "other", seed=8)
        self.report_often(monkeypatch)
        equal = self._run(base, tmp_path / "equal")
        one, same, another = (self.fingerprint(r.trained.newest) for r in (whole, equal, other))
        assert one == same != another
        assert whole.trained.history == equal.trained.history != other.trained.history

    def test_a_killed_run_resumes_and_ends_like_any_other(
        self, base: Path, whole: Run, tmp_path: Path
    ) -> None:
        kind = type(self)
        names = (kind.__module__, kind.__qualname__)
        arguments = [json.dumps(sys.path), *names, str(base), str(tmp_path)]
        command = [sys.executable, "-c", _CHILD, *arguments]
        child = subprocess.run(command, capture_output=True, text=True)
        assert child.returncode == -signal.SIGKILL, child.stderr
        resumed = self._run(base, tmp_path)
        assert resumed.reports[0].step > 20
        assert resumed.trained.history == whole.trained.history
        assert self.fingerprint(resumed.trained.newest) == self.fingerprint(whole.trained.newest)
        assert not changed_variables(resumed.trained.serving, whole.trained.serving)

    def test_a_finished_run_is_not_run_again(self, whole: Run) -> None:
        reports: list[Progress] = []
        assert self.train(replace(whole.job, report=reports.append)) == whole.trained
        assert not reports

    def test_the_directory_of_another_training_is_refused(self, whole: Run) -> None:
        rate = replace(whole.job.config, learning_rate=1.0)
        others: list[dict[str, Any]] = [{"config": rate}, {"preprocessor": whole.job.base}]
        for other in others:
            with pytest.raises(OutputError, match="another") as error:
                self.train(replace(whole.job, **other))
            assert str(whole.job.work_dir) in str(error.value)

    def test_progress_is_reported(self, whole: Run) -> None:
        steps = [progress.step for progress in whole.reports]
        losses = {p.step for p in whole.reports if p.loss is not None}
        metrics = [(p.step, p.metrics) for p in whole.reports if p.metrics is not None]
        assert steps == sorted(steps)
        assert metrics == list(whole.trained.history)
        assert [step for step, _ in metrics] == [20, 40]
        assert losses >= {20, 40}
        assert all(set(named) == {"loss", "accuracy"} for _, named in whole.trained.history)
        assert all((p.loss is None) == bool(p.metrics) for p in whole.reports)
        assert all(p.steps_per_s > 0 for p in whole.reports)

    def test_the_callers_graph_is_left_alone(self, base: Path, tmp_path: Path) -> None:
        with tf.Graph().as_default() as graph:
            trained = self.train(image_job(base, tmp_path, steps=2))
            assert not graph.get_operations()
        assert trained.steps == 2
        assert tf.executing_eagerly()
        assert not tf.compat.v1.get_default_graph().get_operations()

    # --- What cannot be --------------------------------------------------------------------------

    @pytest.mark.parametrize("part", ["train", "evaluate"])
    def test_no_row_is_an_input_error(self, part: str, base: Path, tmp_path: Path) -> None:
        job = image_job(base, tmp_path, steps=2)
        none: Any = {part: lambda: job.evaluate().take(0)}
        with pytest.raises(InputError, match=f"no row .*{part.removesuffix('e')}"):
            self.train(replace(job, **none))


def train_until_killed(module: str, name: str, base: str, work_dir: str) -> None:
    """Begins the run that most tests look at, in a process of its own, and ends this after step 20.

    Args:
      module: Python module of a subclass of TrainerContract.
      name: its name there.
      base: directory of the base module.
      work_dir: where the training works.
    """
    contract: TrainerContract = attrgetter(name)(importlib.import_module(module))()

    def kill(progress: Progress) -> None:
        if progress.step > 20 and progress.metrics is None:
            os.kill(os.getpid(), signal.SIGKILL)

    contract.report_often(pytest.MonkeyPatch())
    job = image_job(Path(base), Path(work_dir), **_OPTIONS)
    contract.train(replace(job, report=kill))
