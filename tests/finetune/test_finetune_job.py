"""`fine_tune_files`: from files of rows to a new module, whole or not at all."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
import tensorflow_hub as hub
from interrupting import cut_off
from tfx_helpers import example

from hub_tfx import __version__, testing
from hub_tfx.errors import (
    AuthoringError,
    ConfigError,
    DigestMismatchError,
    InputError,
    OutputError,
    RejectedRowsError,
)
from hub_tfx.finetune import checks, job
from hub_tfx.finetune.checks import check_compatible
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.job import FineTuneResult, fine_tune_files
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule

WORDS = testing.WORDS
TEXTS = [f"{one} {other}" for one in WORDS for other in WORDS]
TOPICS = ["pet" if {"cat", "dog"} & set(text.split()) else "rest" for text in TEXTS]


def write_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    return path


def tune(base: Path, train: Path, output: Path, *evaluation: Path, **options: Any) -> Any:
    """Fine-tunes in a few steps, on the label `topic` unless told otherwise."""
    defaults = {"label": "topic", "steps": 2, "batch_size": 16, "learning_rate": 0.05}
    return fine_tune_files(
        ResolvedModule.of_directory(base),
        [str(train)],
        [str(path) for path in evaluation],
        str(output),
        FineTuneConfig(**(defaults | options)),
    )


def answers(result: FineTuneResult, *rows: Mapping[str, Any]) -> dict[str, Any]:
    """What the serving model says of raw rows."""
    model = tf.saved_model.load(result.serving)
    examples = tf.constant([example(row).SerializeToString() for row in rows])
    tensors = model.signatures["serving_default"](examples=examples)
    return {key: tensor.numpy() for key, tensor in tensors.items()}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One format is enough where the format is not what is tested."""
    return testing.text_module(tmp_path_factory.mktemp("text") / "1", "saved_model", dim=2)


@pytest.fixture(scope="session")
def finished(text_module_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> FineTuneResult:
    """The one full run, in each format, that most tests look at."""
    folder = tmp_path_factory.mktemp("job")
    train = write_csv(folder / "train.csv", {"text": TEXTS, "topic": TOPICS})
    return tune(text_module_dir, train, folder / "out", steps=60, eval_every=30)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "train.csv", {"text": TEXTS, "topic": TOPICS})


# --- A finished run ------------------------------------------------------------------------------


def test_a_module_learns_from_csv_with_a_fifth_held_out(finished: FineTuneResult) -> None:
    assert finished.metrics["accuracy"] > 0.8
    assert finished.steps == 60
    assert finished.rows == {"train": 52, "evaluation": 12, "left_out": 0}
    assert [step for step, _ in finished.history] == [30, 60]


def test_the_new_module_is_what_its_parent_was_and_has_a_digest_of_its_own(
    finished: FineTuneResult, text_module_dir: Path
) -> None:
    check_compatible(finished.module, inspect(text_module_dir))
    assert inspect(finished.module).format == inspect(text_module_dir).format
    assert finished.digest == Manifest.of_directory(finished.module).digest
    assert finished.parent_digest == Manifest.of_directory(text_module_dir).digest
    assert finished.digest != finished.parent_digest


def test_the_new_module_loads_from_elsewhere(finished: FineTuneResult, tmp_path: Path) -> None:
    moved = shutil.copytree(finished.module, tmp_path / "moved")
    loaded = hub.load(str(moved))
    if not callable(loaded):
        loaded = loaded.signatures["default"]
    (vectors,) = tf.nest.flatten(loaded(tf.constant(["a dog", "the mat"])))
    assert vectors.shape == (2, 4)


def test_the_serving_model_answers_for_serialized_examples(finished: FineTuneResult) -> None:
    served = answers(finished, {"text": "cat dog"}, {"text": "hello world"})
    assert served["classes"].tolist() == [b"pet", b"rest"]
    np.testing.assert_allclose(served["probabilities"].sum(axis=1), 1, rtol=1e-6)


def test_the_report_says_what_was_done(finished: FineTuneResult, text_module_dir: Path) -> None:
    folder = Path(finished.module).parent
    report = json.loads((folder / "report.json").read_text())
    assert report["version"] == __version__
    assert report["parent"] == str(text_module_dir)
    assert report["classes"] == ["pet", "rest"]
    assert report["config"]["label"] == "topic"
    assert report["metrics"] == finished.metrics
    for name in ("digest", "parent_digest", "steps", "rows", "module", "serving"):
        assert report[name] == getattr(finished, name)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("module", "report.json", "serving", "training"),
    ]


def test_a_finished_output_is_not_overwritten(
    finished: FineTuneResult, text_module_dir: Path
) -> None:
    folder = Path(finished.module).parent
    with pytest.raises(OutputError, match="holds a finished module: name a new directory"):
        tune(text_module_dir, folder.parent / "train.csv", folder)
    assert Manifest.of_directory(finished.module).digest == finished.digest


# --- What is learned -----------------------------------------------------------------------------


@pytest.mark.usefixtures("taken_on_trust")
def test_labels_may_be_integers(text: Path, tmp_path: Path) -> None:
    ids = [10 if topic == "pet" else 9 for topic in TOPICS]
    train = write_csv(tmp_path / "a.csv", {"text": TEXTS, "topic": ids})
    result = tune(text, train, tmp_path / "out", steps=40)
    assert result.metrics["accuracy"] > 0.7
    assert answers(result, {"text": "cat dog"})["classes"].tolist() == [b"10"]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["classes"] == ["9", "10"]


@pytest.mark.usefixtures("taken_on_trust")
def test_labels_may_be_true_and_false(text: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "topic": t == "pet"} for text, t in zip(TEXTS, TOPICS, strict=True)]
    train = tmp_path / "a.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tune(text, train, tmp_path / "out", steps=40)
    assert result.metrics["accuracy"] > 0.7
    assert answers(result, {"text": "cat dog"})["classes"].tolist() == [b"1"]


@pytest.mark.usefixtures("taken_on_trust")
def test_fractions_are_no_classes(text: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "a.csv", {"text": TEXTS, "topic": [0.5, 1.5] * 32})
    with pytest.raises(ConfigError, match=r"'topic' holds fractions.*regression"):
        tune(text, train, tmp_path / "out")


@pytest.mark.usefixtures("taken_on_trust")
def test_a_row_may_have_several_labels(text: Path, tmp_path: Path) -> None:
    rows = [{"text": text, "topic": text.split()[: n % 3]} for n, text in enumerate(TEXTS)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tune(text, tmp_path / "a.jsonl", tmp_path / "out", task="multilabel")
    assert {"precision", "recall", "loss"} == result.metrics.keys()
    assert result.rows["left_out"] == sum(not row["topic"] for row in rows)
    assert answers(result, {"text": "cat"})["probabilities"].shape == (1, len(WORDS))


@pytest.mark.usefixtures("taken_on_trust")
def test_a_number_is_learned_by_regression(text: Path, tmp_path: Path) -> None:
    lengths = [len(text) for text in TEXTS]
    train = write_csv(tmp_path / "a.csv", {"text": TEXTS, "topic": lengths})
    result = tune(text, train, tmp_path / "out", task="regression")
    assert {"mae", "loss"} == result.metrics.keys()
    assert answers(result, {"text": "cat"})["value"].shape == (1,)


@pytest.mark.usefixtures("taken_on_trust")
def test_what_belongs_together_is_learned_from_pairs(text: Path, tmp_path: Path) -> None:
    columns = {"text": TEXTS, "other": TEXTS[::-1], "topic": [0, 1] * 32}
    train = write_csv(tmp_path / "a.csv", columns)
    result = tune(text, train, tmp_path / "out", task="similarity", pair="other")
    assert {"auc", "loss"} == result.metrics.keys()
    same = answers(result, {"text": "cat", "other": "cat"})["similarity"]
    np.testing.assert_allclose(same, [1], rtol=1e-4)


@pytest.mark.usefixtures("taken_on_trust")
def test_images_are_learned_from_png_in_parquet(image_module_dir: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, [20, 9, 7, 3], np.uint8)
    images = [tf.io.encode_png(image).numpy() for image in pixels]
    table = pa.table({"image": images, "topic": ["a", "b", "c", "b"] * 5})
    pq.write_table(table, tmp_path / "a.parquet")
    result = tune(image_module_dir, tmp_path / "a.parquet", tmp_path / "out")
    assert answers(result, {"image": images[0]})["probabilities"].shape == (1, 3)
    check_compatible(result.module, inspect(image_module_dir))


@pytest.mark.usefixtures("taken_on_trust")
def test_evaluation_rows_of_their_own_leave_all_others_for_training(
    text: Path, train: Path, tmp_path: Path
) -> None:
    columns = {"text": ["cat", "mat", "dog"], "topic": ["pet", "rest", "unheard-of"]}
    evaluation = write_csv(tmp_path / "eval.csv", columns)
    result = tune(text, train, tmp_path / "out", evaluation)
    assert result.rows == {"train": 64, "evaluation": 2, "left_out": 1}


@pytest.mark.usefixtures("taken_on_trust")
def test_rows_that_lack_a_label_or_an_input_are_left_out_and_counted(
    text: Path, tmp_path: Path
) -> None:
    rows = [{"text": text, "topic": topic} for text, topic in zip(TEXTS, TOPICS, strict=True)]
    rows += [{"text": "cat", "topic": None}, {"text": "cat"}, {"text": None, "topic": "pet"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = tune(text, tmp_path / "a.jsonl", tmp_path / "out")
    assert result.rows == {"train": 52, "evaluation": 12, "left_out": 3}


@pytest.mark.usefixtures("taken_on_trust")
def test_an_empty_cell_is_no_label(text: Path, tmp_path: Path) -> None:
    columns = {"text": [*TEXTS, "cat"], "topic": [*TOPICS, ""]}
    train = write_csv(tmp_path / "a.csv", columns)
    result = tune(text, train, tmp_path / "out")
    assert result.rows == {"train": 52, "evaluation": 12, "left_out": 1}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["classes"] == ["pet", "rest"]


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"label": "constant"}, r"'constant' has 1 class in the training data"),
        ({"class_weights": {"pets": 2}}, r"no class 'pets'; there are pet, rest"),
        ({"label": "nothing"}, r"no feature 'nothing'; the input has constant, text, topic"),
        ({"inputs": {"inputs": "nothing"}}, r"nothing.*constant, text"),
        ({"task": "similarity", "pair": "nothing"}, r"no feature 'nothing'; .*constant, text"),
    ],
)
def test_what_does_not_fit_is_one_error_before_anything_is_written(
    text: Path, tmp_path: Path, options: dict[str, Any], complaint: str
) -> None:
    columns = {"text": TEXTS, "topic": TOPICS, "constant": ["a"] * 64}
    train = write_csv(tmp_path / "a.csv", columns)
    with pytest.raises((ConfigError, InputError), match=complaint):
        tune(text, train, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("taken_on_trust")
def test_rows_with_another_number_of_values_are_left_out_with_the_reason(
    image_module_dir: Path, tmp_path: Path
) -> None:
    """Images as numbers, not encoded; and a label that is one class, not several."""
    good = [{"image": [0.5] * 192, "topic": [topic]} for topic in ("pet", "rest") * 2]
    short, several = good[0] | {"image": [0.5] * 191}, good[0] | {"topic": ["pet", "rest"]}
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*good, short, several]))
    result = tune(image_module_dir, file, tmp_path / "out", steps=1)
    assert result.rows == {"train": 2, "evaluation": 2, "left_out": 2}
    assert [(row.key, row.reason) for row in result.left_out] == [
        (f"{file}:5", "feature 'image' has 191 values; the input takes 192 a row"),
        (f"{file}:6", "label 'topic' has 2 values, and a row has one"),
    ]
    table = pq.read_table(tmp_path / "out" / "left_out")
    assert table.to_pylist() == [asdict(row) for row in result.left_out]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"classes": ("cats", "dogs")}, "label 'topic' is 'rest', which is not one of the classes"),
        ({"task": "regression"}, "label 'topic' is missing or not a number"),
    ],
)
def test_without_a_row_to_learn_from_nothing_is_trained(
    text: Path, train: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    complaint = rf"64 of 64 records .*nothing was trained \(the first is .*:1: {reason}\); see "
    with pytest.raises(RejectedRowsError, match=complaint) as raised:
        tune(text, train, tmp_path / "out", **options)
    assert raised.value.folder == str(tmp_path / "out" / "left_out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["left_out"]


@pytest.mark.usefixtures("taken_on_trust")
def test_more_rows_left_out_than_may_be_is_an_error_before_training(
    text: Path, tmp_path: Path
) -> None:
    train = write_csv(tmp_path / "a.csv", {"text": [*TEXTS, "cat"], "topic": [*TOPICS, ""]})
    with pytest.raises(
        RejectedRowsError, match=r"1 of 65 records were rejected, and at most 1\.0% may be"
    ):
        tune(text, train, tmp_path / "out", max_dead_letter_ratio=0.01)
    result = tune(text, train, tmp_path / "out", max_dead_letter_ratio=0.02, steps=1)
    assert result.rows["left_out"] == 1


@pytest.mark.usefixtures("taken_on_trust")
def test_each_class_is_held_out_by_itself(
    text: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topics = [*["pet"] * 40, *["rest"] * 2, "sole"]
    train = write_csv(tmp_path / "a.csv", {"text": ["cat"] * 43, "topic": topics})
    result = tune(text, train, tmp_path / "out", steps=1)
    assert result.rows == {"train": 34, "evaluation": 9, "left_out": 0}
    assert (
        "class 'sole' has one row, which is trained on and is not in the evaluation" in caplog.text
    )


def test_one_row_cannot_be_both_trained_and_evaluated_on(text: Path, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "a.csv", {"text": ["cat"], "topic": [1.5]})
    with pytest.raises(InputError, match="1 row"):
        tune(text, train, tmp_path / "out", task="regression")


def test_an_output_that_is_a_file_is_refused(text: Path, train: Path) -> None:
    with pytest.raises(OutputError, match="is a file"):
        tune(text, train, train)


# --- Whole or not at all -------------------------------------------------------------------------


def test_after_a_failure_there_is_no_module_and_the_run_can_resume(
    text: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(tuned: Path, imports: Sequence[str]) -> None:
        assert (tuned / "saved_model.pb").exists()
        assert imports == ("json",)
        raise AuthoringError("does not load")

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(checks, "check_hermetic", fail)
        with pytest.raises(AuthoringError, match="does not load"):
            tune(text, train, output, imports=("json",))
    assert [path.name for path in output.iterdir()] == ["training"]
    result = tune(text, train, output, imports=("json",))
    assert result.digest == Manifest.of_directory(output / "module").digest


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_cut_off_before_its_report_goes_on(
    text: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_off(monkeypatch, "_write_report"):
        tune(text, train, tmp_path / "out")
    (tmp_path / "out" / "serving" / "of the run before").touch()
    (tmp_path / "out" / f".module.{uuid4().hex}.tmp").mkdir()
    result = tune(text, train, tmp_path / "out")
    assert result.digest == Manifest.of_directory(result.module).digest
    assert not Path(result.serving, "of the run before").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("module", "report.json", "serving", "training"),
    ]


# --- The same training, and the same bytes -------------------------------------------------------


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_that_was_cut_off_does_not_go_on_with_other_rows(
    text_module_dir: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cut_off(monkeypatch, "deliver"):
        tune(text_module_dir, train, tmp_path / "out")
    swapped = ["rest" if topic == "pet" else "pet" for topic in TOPICS]
    other = write_csv(tmp_path / "other.csv", {"text": TEXTS, "topic": swapped})
    with pytest.raises(OutputError, match="another training, whose set of rows differs: name a n"):
        tune(text_module_dir, other, tmp_path / "out")
    with pytest.raises(OutputError, match="another training, whose set of rows differs"):
        tune(text_module_dir, train, tmp_path / "out", other)
    moved = train.rename(tmp_path / "moved.csv")
    assert tune(text_module_dir, moved, tmp_path / "out").steps == 2


@pytest.mark.usefixtures("taken_on_trust")
def test_a_run_that_was_cut_off_may_go_on_for_longer(
    text_module_dir: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that had trained all of its steps, and was cut off after that."""
    with cut_off(monkeypatch, "deliver"):
        tune(text_module_dir, train, tmp_path / "out", steps=4, eval_every=2)
    result = tune(text_module_dir, train, tmp_path / "out", steps=60, eval_every=20, patience=9)
    steps = [step for step, _ in result.history]
    assert (steps[:2], steps[-1], result.steps) == ([2, 4], 60, 60)
    best = min(result.history, key=lambda of_step: of_step[1]["loss"])
    assert dict(best[1]) == result.metrics
    model = tf.saved_model.load(result.serving)
    rows = tf.constant([example({"text": text}).SerializeToString() for text in TEXTS])
    answered = model.signatures["serving_default"](examples=rows)["classes"].numpy()
    assert np.mean(answered == [topic.encode() for topic in TOPICS]) > 0.8


def test_a_module_that_changed_after_it_was_resolved_is_not_trained_from(
    text: Path, train: Path, tmp_path: Path
) -> None:
    base = ResolvedModule.of_directory(shutil.copytree(text, tmp_path / "base"))
    (base.path / "assets" / "more.txt").write_text("more")
    config = FineTuneConfig("topic", steps=1)
    with pytest.raises(DigestMismatchError, match=f"its digest is [0-9a-f]*, not {base.digest}"):
        fine_tune_files(base, [str(train)], [], str(tmp_path / "out"), config)
    whole = ResolvedModule.of_directory(text)
    with pytest.raises(DigestMismatchError, match=f"not {base.digest}"):
        fine_tune_files(whole, [str(train)], [], str(tmp_path / "out"), config, preprocessor=base)
    assert not (tmp_path / "out").exists()


def test_an_output_in_a_bucket_is_refused_with_what_to_do(
    text: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    complaint = "gs://bucket/tuned is not on this machine, .* copy it to the bucket afterwards"
    with pytest.raises(OutputError, match=complaint):
        fine_tune_files(
            ResolvedModule.of_directory(text),
            [str(train)],
            [],
            "gs://bucket/tuned",
            FineTuneConfig("topic"),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


# --- One run at a time ---------------------------------------------------------------------------


def test_a_second_run_into_one_output_is_told_so(
    text: Path, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, complaints = tmp_path / "out", []

    def meanwhile(*_: Any, **__: Any) -> None:
        with pytest.raises(OutputError) as refused:
            tune(text, train, output)
        complaints.append(str(refused.value))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "collect", meanwhile)
        with pytest.raises(KeyboardInterrupt):
            tune(text, train, output)
    assert complaints == [
        f"another run is writing to {output}: wait until it has ended, or name another directory"
    ]
    assert not output.exists()
