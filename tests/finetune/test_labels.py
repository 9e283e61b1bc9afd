"""Labels of files: the same classes whatever they are written as, and rows that lack one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfx_helpers import write_tfrecord

from hub_tfx.errors import ConfigError, InputError
from hub_tfx.finetune.collect import TrainingFiles, collect
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo

TEXT = TensorInfo("string", (None,))
SIGNATURE = SignatureSpec({"text": TEXT}, {"default": TensorInfo("float32", (None, 2))})
SPEC = ModuleSpec("tf1_hub", (GraphVariant((), {"default": SIGNATURE}),))


def gather(
    folder: Path, source: Path, evaluation: Sequence[Path] = (), **options: Any
) -> TrainingFiles:
    config = FineTuneConfig("label", **options)
    of_evaluation = [str(path) for path in evaluation]
    left_out = folder / "left_out"
    return collect(SPEC, [str(source)], of_evaluation, folder / "rows", left_out, config)


def reasons(files: TrainingFiles) -> list[tuple[int, str]]:
    return [(int(row.key.rpartition(":")[2]), row.reason) for row in files.left_out]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows in the format that the name says; a value of None is left out where it can be."""
    if path.suffix == ".csv":
        cells = [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *cells]) + "\n")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        there = [{k: v for k, v in row.items() if v is not None} for row in rows]
        write_tfrecord(path, there)
    return path


TEXTS = ["cat", "dog", "mat", "hello"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "tfrecord.gz"])
@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["b", "a"], ("a", "b")),
        (["wörld", "été"], ("wörld", "été")),
        ([10, 9], ("9", "10")),
        ([-1, 1], ("-1", "1")),
    ],
)
def test_every_format_gives_the_same_classes(
    ending: str, values: list[Any], classes: tuple[str, ...], tmp_path: Path
) -> None:
    rows = [{"text": text, "label": values[n % 2]} for n, text in enumerate(TEXTS)]
    files = gather(tmp_path, write(tmp_path / f"a.{ending}", [*rows, rows[0] | {"label": None}]))
    assert files.classes == classes
    assert reasons(files) == [(5, "label 'label' is missing")]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (pa.array([b"a", b"b"] * 2), ("a", "b")),
        (pa.array([True, False] * 2), ("0", "1")),
        (pa.array(["a", "b"] * 2).dictionary_encode(), ("a", "b")),
        (pa.array([["a"], ["b"]] * 2), ("a", "b")),
        (pa.array([[1], [0]] * 2), ("0", "1")),
        (pa.array([[True], [False]] * 2), ("0", "1")),
        (pa.array([3, 250] * 2, pa.uint8()), ("3", "250")),
    ],
)
def test_columns_of_any_type_that_names_classes(
    labels: pa.Array, classes: tuple[str, ...], tmp_path: Path
) -> None:
    pq.write_table(pa.table({"text": TEXTS, "label": labels}), tmp_path / "a.parquet")
    assert gather(tmp_path, tmp_path / "a.parquet").classes == classes


def test_a_class_is_not_a_fraction_or_a_date(tmp_path: Path) -> None:
    dates = pa.array([0, 1, 2, 3], pa.date32())
    pq.write_table(pa.table({"text": TEXTS, "label": dates}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match=r"label 'label' holds date32.*texts or whole numbers"):
        gather(tmp_path, tmp_path / "a.parquet")


@pytest.mark.parametrize("task", ["regression", "similarity"])
def test_decimals_are_numbers_to_learn(task: str, tmp_path: Path) -> None:
    prices = pa.array([1, 0, 1, 0]).cast(pa.decimal128(20, 0)).cast(pa.decimal128(25, 2))
    table = pa.table({"text": TEXTS, "other": TEXTS, "label": prices})
    pq.write_table(table, tmp_path / "a.parquet")
    pair = {"pair": "other"} if task == "similarity" else {}
    files = gather(tmp_path, tmp_path / "a.parquet", task=task, **pair)
    assert files.rows == {"train": 3, "evaluation": 1, "left_out": 0}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("a.jsonl", [["1.5"], ["2"]] * 2),
        ("a.tfrecord.gz", ["1.5", "2"] * 2),
    ],
)
def test_what_cannot_be_a_number_to_learn_is_one_error(
    name: str, labels: list[Any], tmp_path: Path
) -> None:
    rows = [{"text": text, "label": labels[n]} for n, text in enumerate(TEXTS)]
    with pytest.raises(ConfigError, match=r"label 'label' holds .*list.*give numbers"):
        gather(tmp_path, write(tmp_path / name, rows), task="regression")


def test_some_of_several_labels_may_be_unknown(tmp_path: Path) -> None:
    rows = [
        {"text": "cat", "label": ["a", "b"]},
        {"text": "dog", "label": ["b", "other"]},
        {"text": "mat", "label": ["other"]},
        {"text": "sat", "label": []},
        {"text": None, "label": ["a"]},
        {"text": "hello", "label": ["a"]},
    ]
    source = write(tmp_path / "a.jsonl", rows)
    files = gather(tmp_path, source, task="multilabel", classes=("a", "b"))
    assert reasons(files) == [
        (3, "label 'label' is 'other', which is not one of the classes"),
        (4, "label 'label' is missing"),
        (5, "feature 'text' is missing"),
    ]
    assert files.rows == {"train": 2, "evaluation": 1, "left_out": 3}


def test_both_of_a_pair_must_be_there(tmp_path: Path) -> None:
    rows = [
        {"text": "cat", "other": "dog", "label": 1},
        {"text": "cat", "other": None, "label": 1},
        {"text": None, "other": "dog", "label": 0},
        {"text": "cat", "other": "mat", "label": None},
        {"text": "cat", "other": "mat", "label": 0},
    ]
    source = write(tmp_path / "a.jsonl", rows)
    files = gather(tmp_path, source, task="similarity", pair="other")
    assert reasons(files) == [
        (2, "feature 'other' is missing"),
        (3, "feature 'text' is missing"),
        (4, "label 'label' is missing or not a number"),
    ]


def test_rows_to_evaluate_on_are_left_out_too_and_classes_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": text, "label": "abca"[n]} for n, text in enumerate(TEXTS)]
    source = write(tmp_path / "a.csv", rows)
    others = [
        {"text": "cat", "label": "a"},
        {"text": "dog", "label": "unheard-of"},
        {"text": "mat", "label": None},
        {"text": "sat", "label": "b"},
    ]
    evaluation = write(tmp_path / "b.csv", others)
    files = gather(tmp_path, source, [evaluation], classes=("a", "b", "c", "d"))
    assert files.rows == {"train": 4, "evaluation": 2, "left_out": 2}
    assert [row.key for row in files.left_out] == [f"{evaluation}:2", f"{evaluation}:3"]
    assert "class 'c' has rows to train on and is not in the evaluation data" in caplog.text
    write(tmp_path / "b.csv", [*others, {"text": "cat", "label": "d"}])
    gather(tmp_path, source, [evaluation], classes=("a", "b", "c", "d"))
    assert "class 'd' has rows to evaluate on and is not in the training data" in caplog.text


# --- Files that do not agree ---------------------------------------------------------------------


def labelled(path: Path, labels: Sequence[Any]) -> Path:
    return write(path, [{"text": TEXTS[n % 4], "label": v} for n, v in enumerate(labels)])


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression", "similarity"])
@pytest.mark.parametrize("ending", ["jsonl", "parquet", "tfrecord.gz"])
def test_a_file_with_labels_of_another_type_is_refused_by_name_not_left_out(
    task: str, ending: str, tmp_path: Path
) -> None:
    pair = {"pair": "text"} if task == "similarity" else {}
    labelled(tmp_path / f"a.{ending}", [1, 0, 1, 0])
    labelled(tmp_path / f"b.{ending}", ["1", "0", "1", "0"])
    with pytest.raises(InputError, match=rf"a\.{ending} has .*'label', but .*b\.{ending} has"):
        gather(tmp_path, tmp_path / f"*.{ending}", task=task, **pair)


def test_evaluation_rows_with_labels_of_another_type_are_refused_by_name(tmp_path: Path) -> None:
    train = labelled(tmp_path / "a.jsonl", [1, 0, 1, 0])
    evaluation = labelled(tmp_path / "b.jsonl", ["1", "0"])
    with pytest.raises(InputError, match=r"a\.jsonl has int64 in 'label', but .*b\.jsonl has str"):
        gather(tmp_path, train, [evaluation])


def test_one_of_many_files_is_not_left_out_unseen(tmp_path: Path) -> None:
    for n in range(40):
        labelled(tmp_path / f"{n:02}.jsonl", ["1", "0"] if n == 17 else [1, 0])
    with pytest.raises(InputError, match=r"00\.jsonl has .*'label', but .*17\.jsonl has"):
        gather(tmp_path, tmp_path / "*.jsonl")


def test_csv_files_agree_whatever_their_cells_look_like(tmp_path: Path) -> None:
    labelled(tmp_path / "a.csv", [1, 0, 1, 0])
    labelled(tmp_path / "b.csv", ["yes", "no", "1", "0"])
    files = gather(tmp_path, tmp_path / "*.csv")
    assert (files.classes, files.rows["left_out"]) == (("0", "1", "no", "yes"), 0)


# --- What a run that resumes goes by -------------------------------------------------------------


def test_the_digest_is_that_of_the_rows_and_not_of_their_files(tmp_path: Path) -> None:
    def digest(name: str, *labels: Sequence[Any]) -> str:
        (tmp_path / name).mkdir()
        files = [labelled(tmp_path / name / f"{n}.jsonl", of) for n, of in enumerate(labels)]
        return gather(tmp_path / name, files[0], files[1:]).digest

    given = digest("a", [1, 0, 1, 0])
    assert digest("b", [1, 0, 1, 0]) == given
    others = [
        digest("c", [0, 1, 1, 0]),
        digest("d", [1, 0, 1, 0, 1]),
        digest("e", [1, 0, 1], [0]),
    ]
    assert given not in others
    assert digest("f", [1, 0, 1, 0, None]) == given  # A row that is left out is not learned from.
