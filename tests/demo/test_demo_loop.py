"""The parts of the retraining demos: spans, what is done to them, and the check of each run."""

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from demo.corpus import Document
from demo.loop import Expected, check, schema_of, spans_of
from demo.seven_runs import DOCUMENT, with_table
from hub_tfx.lineage.history import Run

DOCUMENTS = [
    Document(f"text {n}", ("email", "json", "csv")[n % 3], f"name{n}", f"file.py:{n}")
    for n in range(100)
]
RUN = Run(
    id="2026-01-01",
    pipeline="retrain",
    started="",
    seconds=1.0,
    spans=(2,),
    rows=10,
    base="demo/words/1",
    decided="span 2 new, 10 rows",
    verdict="blessed",
    reason="it is better",
    published="demo/docstrings/2",
    embedded=10,
    reused=0,
    steps=(),
)
EXPECTED = Expected("blessed", "span 2 new", 10, 0, version=2)


def texts(documents) -> list[str]:
    return [document.text for document in documents]


def test_spans_have_so_many_documents_and_none_of_them_twice():
    spans = spans_of(DOCUMENTS, (30, 60))
    assert [span.rows for span in spans] == [30, 60]
    drawn = [d for span in spans for d in span.learned + span.judging]
    assert len(set(drawn)) == 90
    assert spans == spans_of(DOCUMENTS, (30, 60))


def test_splits_have_every_document_once_and_nothing_is_learned_from_the_judging_ones():
    [span] = spans_of(DOCUMENTS, (60,))
    splits = span.splits
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 30,
        "eval": 6,
        "test": 24,
    }
    assert len(set().union(*splits.values())) == 60
    assert splits["test"] == span.judging


def test_a_misspelt_package_is_in_what_is_learned_only():
    [span] = spans_of(DOCUMENTS, (60,))
    spoilt = span.misspelt("email")
    assert {d.package for d in spoilt.learned} == {"email.py", "json", "csv"}
    assert texts(spoilt.learned) == texts(span.learned)
    assert spoilt.judging == span.judging


def test_labels_in_a_hurry_are_few_and_wrong_and_all_of_them_known():
    [span] = spans_of(DOCUMENTS, (90,))
    spoilt = span.hurried(rows=40, wrong=0.7)
    assert texts(spoilt.learned) == texts(span.learned[:40])
    changed = [a != b for a, b in zip(spoilt.learned, span.learned, strict=False)]
    assert 0.3 < sum(changed) / 40 < 0.7  # Another document's label is the same now and then.
    assert {d.package for d in spoilt.learned} <= {"email", "json", "csv"}
    assert spoilt.judging == span.judging


def test_the_schema_is_one_of_tfx_and_knows_the_packages():
    schema = text_format.Parse(schema_of({"json", "csv"}), schema_pb2.Schema())
    assert [feature.name for feature in schema.feature] == ["text", "name", "location", "package"]
    assert schema.feature[3].domain == schema.string_domain[0].name
    assert list(schema.string_domain[0].value) == ["csv", "json"]


def test_a_run_that_comes_as_expected_passes():
    check(RUN, EXPECTED)
    check(replace(RUN, published=None), replace(EXPECTED, version=None, because="it is better"))


@pytest.mark.parametrize(
    ("run", "complaint"),
    [
        (replace(RUN, verdict="not blessed"), "verdict is 'not blessed', not 'blessed'"),
        (replace(RUN, published="demo/docstrings/3"), "published is 'demo/docstrings/3', not "),
        (replace(RUN, published=None), "published is None, not 'demo/docstrings/2'"),
        (replace(RUN, embedded=9), "embedded is 9, not 10"),
        (replace(RUN, reused=1), "reused is 1, not 0"),
        (replace(RUN, decided=None), "nothing says 'span 2 new': it is better"),
    ],
)
def test_a_run_that_comes_otherwise_ends_the_demo(run: Run, complaint: str):
    with pytest.raises(SystemExit, match="the run 2026-01-01 has come otherwise") as ended:
        check(run, EXPECTED)
    assert complaint in str(ended.value)


def test_the_table_takes_the_place_of_the_one_before():
    document = "# Runs\n\n```text\nold\n```\n\nMore.\n"
    written = with_table(document, "new\n")
    assert written == "# Runs\n\n```text\nnew\n```\n\nMore.\n"
    assert with_table(written, "new\n") == written


def test_the_documented_table_is_that_of_seven_runs():
    lines = DOCUMENT.read_text(encoding="utf-8").partition("```text\n")[2].splitlines()
    runs = [line for line in lines[: lines.index("```")] if line[:2] == "20"]
    assert [" ".join(line.split()).split(" demo/")[0][20:] for line in runs]
    assert len(runs) == 7
