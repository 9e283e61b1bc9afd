"""`hub-tfx fine-tune`, as a person or a script calls it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.cli import training_progress
from hub_tfx.cli.main import run as run_main
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import WORDS, image_module, text_module

Result = tuple[int, str, str]


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_module(tmp_path_factory.mktemp("text") / "1", "saved_model", dim=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with training data and a cache of its own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    rows = [f"{word},{n % 2},one" for n, word in enumerate(WORDS)] * 4
    Path("train.csv").write_text("\n".join(["text,label,constant", *rows]) + "\n")
    return tmp_path / "work"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: Path, module: Path) -> Callable[..., Result]:
    """Runs the command in this process: exit code, stdout, stderr."""

    def call(
        *arguments: str,
        base: Sequence[str] = ("--module", str(module)),
        inputs: Sequence[str] = ("--input", "train.csv"),
    ) -> Result:
        given = [*inputs, "--output", "out", "--label", "label"]
        exit_code = run_main(["fine-tune", *base, *given, *arguments])
        output = capsys.readouterr()
        return exit_code, output.out, output.err

    return call


def test_json_is_one_document_about_the_new_module(
    run: Callable[..., Result], module: Path
) -> None:
    code, out, err = run("--steps", "4", "--eval-every", "2", "--hidden", "8", "4", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert list(document) == [
        "module",
        "serving",
        "digest",
        "parent_digest",
        "metrics",
        "steps",
        "seconds",
        "rows",
        "left_out",
    ]
    assert document["digest"] == Manifest.of_directory(document["module"]).digest
    assert document["parent_digest"] == Manifest.of_directory(module).digest
    assert document["metrics"].keys() == {"loss", "accuracy"}
    assert (document["steps"], document["seconds"] > 0) == (4, True)
    assert document["rows"] == {"train": 26, "evaluation": 6, "left_out": 0}
    assert Path("out/learning-curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    lines = [line for line in err.splitlines() if line.startswith("hub-tfx: step ")]
    assert "step 2 of 4" in lines[0]
    assert "eval loss" in lines[0]
    assert "step 4 of 4" in lines[-1]


@pytest.mark.usefixtures("taken_on_trust")
def test_the_fields_are_printed_one_a_line_and_the_output_is_kept(
    run: Callable[..., Result],
) -> None:
    code, out, _ = run("--steps", "1")
    fields = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert (fields["module"], fields["steps"]) == ("out/module", "1")
    assert fields["rows"] == "26 train, 6 evaluation, 0 left_out"
    assert {"digest", "parent digest", "loss", "accuracy", "learning curve"} <= fields.keys()
    fails(run("--steps", "1"), 1, "out holds a finished module: name a new directory")


def fails(result: Result, exit_code: int, complaint: str) -> None:
    """One line on stderr, nothing on stdout, this exit code."""
    code, out, err = result
    assert (code, out) == (exit_code, ""), err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("hub-tfx: error: ")
    assert complaint in err


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        (["--input", "nowhere.csv"], 1, "no file matches the input nowhere.csv"),
        (["--module", "nowhere"], 1, "nowhere cannot be read"),
        (["--label", "topic"], 2, "no feature 'topic'; the input has constant, label, text"),
        (["--label", "constant"], 2, "'constant' has 1 class in the training data"),
        (["--task", "ranking"], 2, "'ranking' is not one of"),
        (
            ["--task", "similarity"],
            2,
            "pair names the second feature of task similarity: give it there",
        ),
        (["--unfreeze-after", "3"], 2, "unfreeze_after needs freeze"),
        (["--steps", "0"], 2, "'--steps'"),
        (["--signature", "other"], 2, "other"),
        (["--input-map", "text"], 2, "--input-map takes KEY=FEATURE, not 'text'"),
        (["--output", "train.csv"], 1, "train.csv is a file"),
        (
            ["--format", "tf1_hub"],
            2,
            "tf1_hub does not fit: a tuned module keeps that of its parent",
        ),
        (["--module-fn", "a.f"], 2, "give either --module, "),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    run: Callable[..., Result], arguments: list[str], exit_code: int, complaint: str
) -> None:
    fails(run(*arguments), exit_code, complaint)
    assert not Path("out").exists()


@pytest.mark.usefixtures("taken_on_trust")
def test_rows_that_are_read_are_counted_while_nobody_could_tell(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_progress, "_LINE_EVERY_S", -1.0)
    code, _, err = run("--steps", "1", "--eval-input", "train.csv", "--classes", "0", "2")
    assert code == 0, err
    lines = [line for line in err.splitlines() if " rows read, " in line]
    assert [line.rpartition(", ")[0] for line in lines] == [
        "hub-tfx: 32 rows read, 16 left out",
        "hub-tfx: 64 rows read, 32 left out",
    ]
    assert lines[0].endswith(" rows/s")


@pytest.mark.usefixtures("taken_on_trust")
def test_a_training_with_bad_pictures_ends_with_their_count(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    """3 of 100, one of them among the first rows."""
    pictures = [tf.io.encode_jpeg(tf.fill([8, 8, 3], tf.constant(n, tf.uint8))) for n in range(100)]
    rows = [picture.numpy() for picture in pictures]
    for n in (1, 50, 99):
        rows[n] = rows[n][:30]
    table = pa.table({"image": rows, "label": ["dark" if n < 50 else "light" for n in range(100)]})
    pq.write_table(table, "pictures.parquet")
    base = ["--module", str(image_module(tmp_path / "image", "saved_model"))]
    options = ["--input", "pictures.parquet", "--steps", "2", "--max-dead-letter-ratio", "0.03"]
    code, out, err = run(*options, base=base, inputs=())
    assert code == 0, err
    assert "rows\t79 train, 18 evaluation, 3 left_out\n" in out
    told = [line for line in err.splitlines() if "left out" in line]
    assert len(told) == 1
    assert told[0].startswith("hub-tfx: 3 rows left out, see out/left_out (the first is ")
    assert "pictures.parquet:2: " in told[0]
    report = json.loads(Path("out/report.json").read_text())
    assert report["rows"] == {"train": 79, "evaluation": 18, "left_out": 3}
    kept = pq.read_table("out/left_out").to_pylist()
    assert report["left_out"] == kept
    assert [row["key"] for row in kept] == [f"pictures.parquet:{n}" for n in (2, 51, 100)]
    assert kept[0]["reason"] in told[0]


def test_labels_that_are_no_numbers_leave_nothing_to_train_on(run: Callable[..., Result]) -> None:
    complaint = "(the first is train.csv:1: label 'constant' is missing or not a number); see out/"
    fails(run("--task", "regression", "--label", "constant"), 3, complaint)
    assert [path.name for path in Path("out").iterdir()] == ["left_out"]


MODULE_FN = """
import tensorflow as tf

def keras_fn():
    from in_the_same_directory import WIDTH

    text = tf.keras.Input([], dtype=tf.string)
    ids = tf.keras.layers.Hashing(8)(text)
    return tf.keras.Model(text, tf.keras.layers.Embedding(8, WIDTH)(ids))
"""


@pytest.mark.usefixtures("taken_on_trust")
def test_without_a_module_a_function_builds_one(run: Callable[..., Result]) -> None:
    """It is found beside the data, with what it imports, though the command is an installed one."""
    Path("a_user_s_function.py").write_text(MODULE_FN)
    Path("in_the_same_directory.py").write_text("WIDTH = 3")
    base = ["--module-fn", "a_user_s_function:keras_fn", "--format", "saved_model"]
    code, out, err = run("--steps", "2", "--json", base=base)
    assert code == 0, err
    document = json.loads(out)
    assert document["parent_digest"] is None
    assert document["digest"] == Manifest.of_directory("out/module").digest
    assert inspect("out/module").format == "saved_model"
    assert inspect("out/module").signature().outputs["default"].shape == (None, 3)


def test_something_to_start_from_is_needed(run: Callable[..., Result]) -> None:
    fails(run(base=[]), 2, "give either --module, the module to start from, or --module-fn")
    assert not Path("out").exists()
