"""An evaluation from files to a verdict: both modules on the same rows, written as a whole."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from judged import labelled_rows, write_csv, write_jsonl
from real_modules import encoder, preprocessor

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.limits import EmbedLimits
from hub_tfx.errors import ConfigError, HubTfxError, InputError, OutputError, RejectedRowsError
from hub_tfx.evaluate import job
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.job import evaluate_files
from hub_tfx.evaluate.output import evaluation_directory, read_evaluation
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.evaluate.trial import try_out
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import image_module

Modules = dict[str, ResolvedModule]
ROWS = labelled_rows(240)


@pytest.fixture(scope="module")
def modules(judged_modules: Mapping[str, Path]) -> Modules:
    return {name: ResolvedModule.of_directory(path) for name, path in judged_modules.items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", ROWS)


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves the second at which modules are called for their cost, where that is not asked."""
    monkeypatch.setattr(job, "try_out", lambda *_: {})


def quick(**options: Any) -> EvaluateConfig:
    return EvaluateConfig(**{"label": "topic", "replicates": 200, "folds": 3, **options})


@pytest.fixture
def evaluate(modules: Modules, source: Path, tmp_path: Path) -> Callable[..., Evaluation]:
    def run(
        module: str = "better",
        baseline: str | None = "worse",
        inputs: Any = None,
        config: EvaluateConfig | None = None,
        *more: Any,
        output: Any = None,
        **options: Any,
    ) -> Evaluation:
        return evaluate_files(
            modules[module],
            modules[baseline] if baseline else None,
            [str(path) for path in inputs or [source]],
            str(output or tmp_path / "out"),
            config or quick(),
            *more,
            **options,
        )

    return run


# --- Verdicts ------------------------------------------------------------------------------------


def test_a_better_module_is_blessed_whatever_format_and_dimensions_both_have(
    evaluate: Callable[..., Evaluation],
    modules: Modules,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job, "try_out", try_out)
    evaluation = evaluate(config=quick(slices=("lang",), pairs="pair", neighbours=5))
    assert evaluation.verdict == "blessed"
    assert read_evaluation(str(tmp_path / "out")) == evaluation
    files = ["evaluation.json", "report.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert evaluation.module.digest == modules["better"].digest
    assert evaluation.baseline.digest == modules["worse"].digest
    rows = evaluation.rows
    assert (rows.total, rows.sampled, rows.with_label, dict(rows.left_out)) == (240, 240, 240, {})
    assert evaluation.measure("knn_accuracy", "lang=de").n == 80
    assert evaluation.measure("recall@5").n == 240
    size = evaluation.measure("cost_size_bytes")
    assert size.value == modules["better"].size_bytes
    assert size.baseline == modules["worse"].size_bytes
    assert evaluation.measure("cost_rows_per_s").baseline > 0
    checks = {check.name: check.passed for check in evaluation.sanity}
    assert checks["embeds twice the same"]
    assert checks["rows that it rejects by itself"]
    assert evaluation.provenance["candidate signature"] == "default"
    assert "calls of 64" in evaluation.provenance["cost"]


def test_an_equal_one_is_not(evaluate: Callable[..., Evaluation]) -> None:
    evaluation = evaluate("better", "better")
    assert evaluation.verdict == "not blessed"
    assert evaluation.measure("probe_accuracy").difference == 0


def test_a_worse_one_is_not_and_neither_workers_nor_units_of_work_change_a_number(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    files = [write_csv(tmp_path / "1.csv", ROWS[:100]), write_csv(tmp_path / "2.csv", ROWS[100:])]
    config = quick(sample_rows=120)
    threads = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    one = evaluate("worse", "better", files, config, output=tmp_path / "1")
    evaluate(
        *("worse", "better", files, config, None, None, threads),
        output=tmp_path / "2",
        limits=EmbedLimits(window_rows=16, min_unit_bytes=1),
    )
    written = [(tmp_path / name / "evaluation.json").read_bytes() for name in "12"]
    assert written[0] == written[1]
    assert one.verdict == "not blessed"
    assert (one.rows.total, one.rows.sampled) == (240, 120)
    assert one.worse
    assert all(row.shown == ROWS[row.position]["text"] for row in one.worse)


def test_a_first_module_is_judged_alone_on_the_rows_that_have_a_label(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    rows = [row | ({"topic": None} if n < 40 else {}) for n, row in enumerate(ROWS)]
    evaluation = evaluate(baseline=None, inputs=[write_jsonl(tmp_path / "rows.jsonl", rows)])
    assert evaluation.verdict == "blessed"
    assert evaluation.baseline is None
    measure = evaluation.measure("probe_accuracy")
    assert (measure.n, measure.baseline, evaluation.rows.with_label) == (200, None, 200)


# --- Rejected rows -------------------------------------------------------------------------------


@pytest.fixture
def with_bad_text(tmp_path: Path) -> Path:
    """tf.Examples, three of them with text that is not UTF-8."""
    path = tmp_path / "rows.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, row in enumerate(ROWS):
            example = tf.train.Example()
            text = b"\xff" if number % 100 == 0 else row["text"].encode()
            for name, value in (("text", text), ("topic", row["topic"].encode())):
                example.features.feature[name].bytes_list.value.append(value)
            writer.write(example.SerializeToString())
    return path


def test_a_row_that_one_module_rejects_is_measured_of_neither(
    evaluate: Callable[..., Evaluation], with_bad_text: Path
) -> None:
    takes_bytes = EmbedConfig(text_encoding="bytes")
    evaluation = evaluate("better", "worse", [with_bad_text], None, takes_bytes, EmbedConfig())
    assert evaluation.verdict == "blessed"
    assert evaluation.rows.sampled == 237
    why = "the baseline: feature 'text' is not valid UTF-8"
    assert dict(evaluation.rows.left_out) == {why: 3}


def test_a_module_that_rejects_what_the_baseline_embeds_is_not_blessed(
    evaluate: Callable[..., Evaluation], with_bad_text: Path
) -> None:
    takes_bytes = EmbedConfig(text_encoding="bytes")
    evaluation = evaluate("better", "worse", [with_bad_text], None, EmbedConfig(), takes_bytes)
    assert evaluation.verdict == "not blessed"
    assert "it rejects 3 of 240 rows by itself" in evaluation.reasons[0]
    assert "is not valid UTF-8" in evaluation.reasons[0]


def test_too_many_rejected_rows_are_an_error_and_the_earlier_evaluation_stays(
    evaluate: Callable[..., Evaluation], with_bad_text: Path, tmp_path: Path
) -> None:
    with evaluation_directory(str(tmp_path / "out")) as writing:
        writing.files["evaluation.json"] = b'{"made_by": "hub_tfx"}'
    before = (tmp_path / "out" / "evaluation.json").read_bytes()
    strict = EmbedConfig(max_dead_letter_ratio=0.01)
    with pytest.raises(RejectedRowsError, match=r"3 of 240 .*\(the first is .*:1: .*UTF-8"):
        evaluate("better", "worse", [with_bad_text], None, strict)
    assert (tmp_path / "out" / "evaluation.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rows.tfrecord"]


# --- Modules and inputs of other kinds -----------------------------------------------------------


def test_a_module_with_several_outputs_behind_a_preprocessor(tmp_path: Path, source: Path) -> None:
    first = ResolvedModule.of_directory(preprocessor(tmp_path / "first"))
    module = ResolvedModule.of_directory(encoder(tmp_path / "module"))

    def run(**outputs: str) -> Evaluation:
        feeding = EmbedConfig(outputs=outputs)
        output = str(tmp_path / "out")
        return evaluate_files(
            module, None, [str(source)], output, quick(), feeding, preprocessor=first
        )

    evaluation = run(pooled_output="pooled")
    assert evaluation.provenance["candidate output"] == "pooled_output"
    assert first.digest in evaluation.provenance["candidate preprocessor"]
    for outputs, complaint in (
        ({"sequence_output": "s"}, r"'sequence_output' of .* and one vector of floats a row"),
        ({"default": "d", "pooled_output": "p"}, r"gives default, pooled_output: name the one"),
    ):
        with pytest.raises(ConfigError, match=f"^the candidate .*{complaint}"):
            run(**outputs)


def test_images_are_compared(tmp_path: Path) -> None:
    module = ResolvedModule.of_directory(image_module(tmp_path / "module"))
    pixels = np.random.default_rng(0).integers(0, 60, [40, 8, 8, 3], np.uint8)
    pixels[::2] += 180
    images = [tf.io.encode_png(image).numpy() for image in pixels]
    pq.write_table(pa.table({"image": images, "topic": [n % 2 for n in range(40)]}), "in.parquet")
    evaluation = evaluate_files(module, None, ["in.parquet"], str(tmp_path / "out"), quick())
    assert evaluation.verdict == "blessed"
    assert evaluation.rows.with_label == 40


@pytest.fixture(autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


# --- Refusals ------------------------------------------------------------------------------------

ROW = {"text": "w1 w2", "topic": "yes", "score": 0.5, "place": {"x": 1}}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"label": "nothing"}, r"no feature 'nothing' for the label \(--label\); the input has "),
        ({"pairs": "nothing"}, r"no feature 'nothing' for the pairs \(--pairs\); the input has "),
        ({"slices": ("topic", "no")}, r"no feature 'no' for the slice 'no' \(--slice\); the input"),
        ({"label": "place"}, r"label 'place' holds struct<x: int64>: name a feature of texts or"),
        ({"label": "text"}, r"label 'text' is what the modules are fed, which tells nothing"),
    ],
)
def test_features_that_do_not_fit_are_named_before_any_work(
    options: dict[str, Any],
    complaint: str,
    evaluate: Callable[..., Evaluation],
    tmp_path: Path,
) -> None:
    source = write_jsonl(tmp_path / "rows.jsonl", [ROW] * 3)
    with pytest.raises(ConfigError, match=complaint):
        evaluate(inputs=[source], config=quick(**options))
    assert not (tmp_path / "out").exists()


def test_an_input_without_a_row_is_an_error(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text("text,topic\n")
    config = quick(pairs="topic", slices=("topic",))
    with pytest.raises(InputError, match=r"there is no row in .*rows\.csv"):
        evaluate(inputs=[tmp_path / "rows.csv"], config=config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("feeding", "complaint"),
    [
        (EmbedConfig(signature="x"), r"the baseline .*no signature 'x'"),
        (EmbedConfig(inputs={"inputs": "title"}), r"the baseline .*wants feature 'title'"),
        (EmbedConfig(keep=("topic",)), r"the baseline: keep, deduplicate and output_dtype are for"),
    ],
)
def test_it_is_said_which_module_does_not_fit(
    feeding: EmbedConfig, complaint: str, evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    with pytest.raises(HubTfxError, match=complaint):
        evaluate("better", "worse", None, None, None, feeding)
    assert not (tmp_path / "out").exists()


def test_the_input_is_not_replaced_by_the_output(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    source = write_csv(tmp_path / "rows.csv", ROWS)
    with pytest.raises(OutputError, match=r"lies in .*, which the output would replace"):
        evaluate(inputs=[source], output=tmp_path)
