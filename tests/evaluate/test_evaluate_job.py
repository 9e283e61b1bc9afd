"""An evaluation from files to a verdict: both modules on the same rows, written as a whole."""

import json
import shutil
from collections.abc import Callable
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
from hub_tfx.errors import (
    ConfigError,
    HubTfxError,
    IncompleteError,
    InputError,
    OutputError,
    RejectedRowsError,
)
from hub_tfx.evaluate import embed, job
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.job import evaluate_files
from hub_tfx.evaluate.output import read_evaluation
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import image_module
from hub_tfx.testing.remote import RemoteFileSystem

Modules = dict[str, ResolvedModule]
FILES = ["evaluation.json", "report.html"]


@pytest.fixture(scope="module")
def modules(judged_modules: dict[str, Path]) -> Modules:
    return {name: ResolvedModule.of_directory(path) for name, path in judged_modules.items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", labelled_rows(240))


def quick(**options: Any) -> EvaluateConfig:
    return EvaluateConfig(**{"label": "topic", "replicates": 200, "folds": 3, **options})


@pytest.fixture
def evaluate(modules: Modules, source: Path, tmp_path: Path) -> Callable[..., Evaluation]:
    def run(
        module: str = "better",
        baseline: str | None = "worse",
        inputs: Any = None,
        output: Any = None,
        config: EvaluateConfig | None = None,
        *more: Any,
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


def without_cost(document: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on how fast this machine is."""
    measures = [m for m in document["measures"] if not m["name"].startswith("cost")]
    return {**document, "measures": measures, "cost": None}


# --- Verdicts ------------------------------------------------------------------------------------


def test_a_better_module_is_blessed_whatever_format_and_dimensions_both_have(
    evaluate: Callable[..., Evaluation], modules: Modules, tmp_path: Path
) -> None:
    evaluation = evaluate(config=quick(slices=("lang",), pairs="pair", neighbours=5))
    assert evaluation.verdict == "blessed"
    assert read_evaluation(str(tmp_path / "out")) == evaluation
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for ref, name in ((evaluation.module, "better"), (evaluation.baseline, "worse")):
        assert ref is not None
        assert ref.digest == modules[name].digest
    rows = evaluation.rows
    assert (rows.total, rows.sampled, rows.with_label, dict(rows.left_out)) == (240, 240, 240, {})
    assert evaluation.measure("knn_accuracy", "lang=de").n == 80
    assert evaluation.measure("recall@5") is not None
    assert evaluation.measure("cost_size_bytes").value == modules["better"].size_bytes
    assert evaluation.measure("cost_size_bytes").baseline == modules["worse"].size_bytes
    checks = {check.name: check.passed for check in evaluation.sanity}
    assert checks["embeds twice the same"]
    assert checks["rows that it rejects by itself"]
    assert evaluation.provenance["candidate signature"] == "default"


def test_a_worse_one_is_not_and_the_rows_that_got_worse_are_shown(
    evaluate: Callable[..., Evaluation],
) -> None:
    evaluation = evaluate("worse", "better")
    assert evaluation.verdict == "not blessed"
    assert evaluation.worse
    texts = [row["text"] for row in labelled_rows(240)]
    assert all(row.shown == texts[row.position] for row in evaluation.worse)


def test_an_equal_one_is_not(evaluate: Callable[..., Evaluation]) -> None:
    evaluation = evaluate("better", "better")
    assert evaluation.verdict == "not blessed"
    assert evaluation.measure("probe_accuracy").difference == 0


def test_a_first_module_is_judged_without_a_baseline(evaluate: Callable[..., Evaluation]) -> None:
    evaluation = evaluate(baseline=None)
    assert evaluation.verdict == "blessed"
    assert evaluation.baseline is None
    assert evaluation.measure("probe_accuracy").baseline is None


# --- The sample ----------------------------------------------------------------------------------


def test_neither_workers_nor_files_nor_units_of_work_change_what_is_found(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    rows = labelled_rows(240)
    files = [write_csv(tmp_path / "1.csv", rows[:100]), write_csv(tmp_path / "2.csv", rows[100:])]
    config = quick(sample_rows=120)
    threads = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    small = EmbedLimits(window_rows=16, min_unit_bytes=1)
    one = evaluate("worse", "better", files, None, config)
    other = evaluate("worse", "better", files, None, config, None, None, threads, limits=small)
    assert without_cost(one.to_dict()) == without_cost(other.to_dict())
    assert (one.rows.total, one.rows.sampled) == (240, 120)
    texts = [row["text"] for row in rows]
    assert all(row.shown == texts[row.position] for row in one.worse)


def test_rows_without_a_label_are_in_no_measure_of_labels(
    evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    rows = labelled_rows(240)
    for row in rows[:40]:
        row["topic"] = None
    evaluation = evaluate(inputs=[write_jsonl(tmp_path / "rows.jsonl", rows)])
    assert evaluation.rows.with_label == 200
    assert evaluation.measure("probe_accuracy").n == 200


@pytest.mark.parametrize("kind", ["bool", "float", "list", "bytes"])
def test_labels_may_be_of_any_kind_that_names_classes(
    kind: str, evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    rows = labelled_rows(60)
    is_yes = [row["topic"] == "yes" for row in rows]
    labels = {
        "bool": pa.array(is_yes),
        "float": pa.array([float(yes) for yes in is_yes]),
        "list": pa.array([[int(yes)] for yes in is_yes]),
        "bytes": pa.array([b"\xff" if yes else b"no" for yes in is_yes]),
    }
    table = pa.table({"text": pa.array([row["text"] for row in rows]), "topic": labels[kind]})
    pq.write_table(table, tmp_path / "rows.parquet")
    evaluation = evaluate(baseline=None, inputs=[tmp_path / "rows.parquet"])
    assert evaluation.rows.with_label == 60
    assert evaluation.measure("probe_accuracy").value > 0.8


# --- Rejected rows -------------------------------------------------------------------------------


def write_examples(path: Path, rows: list[dict[str, Any]]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            example = tf.train.Example()
            for name in ("text", "topic"):
                value = row[name] if isinstance(row[name], bytes) else row[name].encode()
                example.features.feature[name].bytes_list.value.append(value)
            writer.write(example.SerializeToString())
    return path


@pytest.fixture
def with_bad_text(tmp_path: Path) -> Path:
    """Rows of which three are not UTF-8."""
    rows = labelled_rows(240)
    for row in rows[::100]:
        row["text"] = b"\xff"
    return write_examples(tmp_path / "rows.tfrecord", rows)


def test_a_row_that_one_module_rejects_is_measured_of_neither(
    evaluate: Callable[..., Evaluation], with_bad_text: Path
) -> None:
    takes_bytes = EmbedConfig(text_encoding="bytes")
    evaluation = evaluate("better", "worse", [with_bad_text], None, None, takes_bytes, EmbedConfig())
    assert evaluation.verdict == "blessed"
    assert evaluation.rows.sampled == 237
    ((reason, rows),) = evaluation.rows.left_out.items()
    assert reason.startswith("the baseline: ")
    assert "UTF-8" in reason
    assert rows == 3


def test_a_module_that_rejects_what_the_baseline_embeds_is_not_blessed(
    evaluate: Callable[..., Evaluation], with_bad_text: Path
) -> None:
    takes_bytes = EmbedConfig(text_encoding="bytes")
    evaluation = evaluate("better", "worse", [with_bad_text], None, None, EmbedConfig(), takes_bytes)
    assert evaluation.verdict == "not blessed"
    assert "it rejects 3 of 240 rows by itself" in evaluation.reasons[0]
    assert "UTF-8" in evaluation.reasons[0]


def test_too_many_rejected_rows_are_an_error_that_names_the_first(
    evaluate: Callable[..., Evaluation], with_bad_text: Path, tmp_path: Path
) -> None:
    strict = EmbedConfig(max_dead_letter_ratio=0.01)
    with pytest.raises(RejectedRowsError, match=r"3 of 240 .* \(the first is .*:1: .*UTF-8"):
        evaluate("better", "worse", [with_bad_text], None, None, strict)
    assert not (tmp_path / "out").exists()


def test_rows_that_get_lost_are_an_error(
    evaluate: Callable[..., Evaluation], monkeypatch: pytest.MonkeyPatch
) -> None:
    side = embed._side
    monkeypatch.setattr(
        embed,
        "_side",
        lambda *tables: embed.SideRows((rows := side(*tables)).places[1:], rows.vectors[1:], {}),
    )
    with pytest.raises(IncompleteError, match=r"the candidate was to embed 240 rows, and has 239"):
        evaluate()


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


def test_images_are_told_by_their_place_in_the_input(tmp_path: Path) -> None:
    module = ResolvedModule.of_directory(image_module(tmp_path / "module"))
    pixels = np.random.default_rng(0).integers(0, 60, [30, 8, 8, 3], np.uint8)
    pixels[::2] += 180
    images = [tf.io.encode_png(image).numpy() for image in pixels]
    table = pa.table({"image": images, "topic": [n % 2 for n in range(30)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    evaluation = evaluate_files(
        module, None, [str(tmp_path / "rows.parquet")], str(tmp_path / "out"), quick()
    )
    assert evaluation.measure("knn_accuracy").value > 0.8
    assert evaluation.rows.sampled == 30


# --- Refusals before work, and what is left of a failure -----------------------------------------

ROW = {"text": "w1 w2", "topic": "yes", "score": 0.5, "place": {"x": 1}}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"label": "nothing"}, r"no feature 'nothing' for the label \(--label\); the input has "),
        ({"pairs": "nothing"}, r"no feature 'nothing' for the pairs \(--pairs\); the input has "),
        ({"slices": ("topic", "no")}, r"no feature 'no' for the slice 'no' \(--slice\); the input"),
        ({"label": "place"}, r"label 'place' holds struct<x: int64>: name a feature of texts or"),
        ({"label": "text"}, r"label 'text' is what the modules are fed, which tells nothing"),
        ({"label": "score"}, r"label 'score' holds 0.5, and classes are texts or whole numbers"),
    ],
)
def test_features_that_do_not_fit_are_named(
    options: dict[str, Any],
    complaint: str,
    evaluate: Callable[..., Evaluation],
    tmp_path: Path,
) -> None:
    source = write_jsonl(tmp_path / "rows.jsonl", [ROW] * 3)
    with pytest.raises(ConfigError, match=complaint):
        evaluate(inputs=[source], config=quick(**options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "text,topic\n"])
def test_an_input_without_a_row_is_an_error(
    content: str, evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(content)
    with pytest.raises(InputError, match=r"there is no row in .*rows\.csv"):
        evaluate(inputs=[tmp_path / "rows.csv"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("feeding", "complaint"),
    [
        (EmbedConfig(signature="x"), r"the baseline .*no signature 'x'"),
        (EmbedConfig(inputs={"default": "title"}), r"the baseline .*wants feature 'title'"),
        (EmbedConfig(keep=("topic",)), r"the baseline: keep, deduplicate and output_dtype are for"),
    ],
)
def test_it_is_said_which_module_does_not_fit(
    feeding: EmbedConfig, complaint: str, evaluate: Callable[..., Evaluation], tmp_path: Path
) -> None:
    with pytest.raises(HubTfxError, match=complaint):
        evaluate("better", "worse", None, None, None, None, feeding)
    assert not (tmp_path / "out").exists()


def test_only_an_earlier_evaluation_is_replaced(
    evaluate: Callable[..., Evaluation], tmp_path: Path, source: Path
) -> None:
    output = tmp_path / "out"
    (output / "photos").mkdir(parents=True)
    (output / "photos" / "1.jpg").write_bytes(b"")
    with pytest.raises(OutputError, match=r"holds 'photos/1.jpg', which is not of an evaluation"):
        evaluate()
    shutil.rmtree(output / "photos")
    (output / "report.html").write_text("of someone else")
    with pytest.raises(OutputError, match=r"holds 'report.html'"):
        evaluate()
    (output / "report.html").unlink()
    output.rmdir()
    output.write_text("a file")
    with pytest.raises(OutputError, match=r"is a file: name a directory"):
        evaluate()
    inside = tmp_path / "data"
    inside.mkdir()
    shutil.copy(source, inside)
    with pytest.raises(OutputError, match=r"lies in .*data, which the output would replace"):
        evaluate(inputs=[inside / "rows.csv"], output=inside)


def test_a_failure_leaves_the_earlier_evaluation_and_nothing_else(
    evaluate: Callable[..., Evaluation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with monkeypatch.context() as broken:
        broken.setattr(job, "render", lambda evaluation: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate("worse", "better")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert evaluate("worse", "better").verdict == "not blessed"
    assert read_evaluation(str(tmp_path / "out")).verdict == "not blessed"


def test_an_evaluation_in_a_bucket(
    evaluate: Callable[..., Evaluation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = tmp_path / "bucket"
    with RemoteFileSystem.at(bucket):
        evaluation = evaluate(output="remote://run/out")
        assert read_evaluation("remote://run/out") == evaluation
        monkeypatch.setattr(job, "render", lambda evaluation: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            evaluate(output="remote://run/out")
        (bucket / "run" / "out" / "1.jpg").write_bytes(b"")
        with pytest.raises(OutputError, match=r"holds '1.jpg'"):
            evaluate(output="remote://run/out")
        (bucket / "run" / "out" / "1.jpg").unlink()
    files = [path for path in bucket.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(bucket).as_posix() for path in files) == [
        f"run/out/{name}" for name in FILES
    ]
    document = json.loads((bucket / "run" / "out" / "evaluation.json").read_text())
    assert document["verdict"] == "blessed"
