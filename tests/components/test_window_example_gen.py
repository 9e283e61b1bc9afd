"""WindowExampleGen: the rows of several spans as one artifact, and what that says of them."""

import json
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from hypothesis import given
from hypothesis import strategies as st
from tfx.components.example_gen import utils
from tfx_helpers import read_examples, write_tfrecord

from hub_tfx.components.spans import spans_of
from hub_tfx.components.window_example_gen.component import WindowExampleGen
from hub_tfx.components.window_example_gen.executor import Executor
from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.retrain.config import Window
from hub_tfx.retrain.window import PlannedSpan, WindowPlan, plan_window
from hub_tfx.testing.remote import RemoteFileSystem

Split = tfx.proto.Input.Split
ROWS = tfx.proto.Input(splits=[Split(name="rows", pattern="span-{SPAN}/*")])
TWO = tfx.proto.Input(
    splits=[Split(name=split, pattern=f"{split}/{{SPAN}}-v{{VERSION}}.csv") for split in "ab"]
)


def write(base: Path, span: int, *texts: str) -> None:
    rows = [{"text": text} for text in texts]
    write_tfrecord(base / f"span-{span}" / "part.tfrecord.gz", rows)


def read(base: Path | str, uri: Path | str, input_config: Any = ROWS, **more: Any) -> Any:
    """Runs the executor with the parameters of a component."""
    component = WindowExampleGen(str(base), input_config, **more)
    made = tfx.types.standard_artifacts.Examples()
    made.uri = str(uri)
    Executor().Do({}, {"examples": [made]}, dict(component.exec_properties))
    return made


def stamped(examples: Any) -> Mapping[str, Any]:
    return {
        name: json.loads(examples.get_string_custom_property(name))
        for name in ("spans", "span_rows", "span_fingerprints")
    }


def test_the_rows_of_a_window_are_split_as_tfx_splits_those_of_a_span(tmp_path: Path) -> None:
    texts = [f"row {number}" for number in range(40)]
    write(tmp_path / "data", 1, *texts[:15])
    write(tmp_path / "data", 3, *texts[15:])
    write(tmp_path / "whole", 0, *texts)
    made = read(tmp_path / "data", tmp_path / "made", window=Window(last=2))
    assert json.loads(made.split_names) == ["train", "eval"]
    assert made.get_int_custom_property("span") == 3
    assert not made.has_custom_property("version")
    told = stamped(made)
    assert (told["spans"], told["span_rows"]) == ([1, 3], {"1": 15, "3": 25})
    assert [(span.number, span.rows) for span in spans_of(made)] == [(1, 15), (3, 25)]
    assert made.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "Split-eval",
        "Split-train",
    ]

    by_tfx = tfx.types.standard_artifacts.Examples()
    by_tfx.uri = str(tmp_path / "by tfx")
    component = tfx.components.ImportExampleGen(str(tmp_path / "whole" / "span-0"))
    executor = component.executor_spec.executor_class()
    executor._beam_pipeline_args = ["--runner=FnApiRunner"]
    executor.Do({}, {"examples": [by_tfx]}, dict(component.exec_properties))
    for split in ("train", "eval"):
        rows = [
            sorted(row["text"][0] for row in read_examples(of.uri, split)) for of in (made, by_tfx)
        ]
        assert rows[0] == rows[1] != []


def test_csv_files_of_several_splits_and_versions_on_a_remote_filesystem(tmp_path: Path) -> None:
    for split in "ab":
        (tmp_path / "data" / split).mkdir(parents=True)
        (tmp_path / "data" / split / "7-v1.csv").write_text("old,columns\n1,2\n")
        (tmp_path / "data" / split / "7-v2.csv").write_text('id,text\n1,"a, ""b""\nc"\n\n2,\n')
        (tmp_path / "data" / split / "8-v1.csv").write_text("\ufeffid,text\n2.5,z\n")
    with RemoteFileSystem.at(tmp_path):
        made = read(
            "remote://data", tmp_path / "made", TWO, window=Window(since="first"), file_format="csv"
        )
    assert made.get_int_custom_property("version") == 1
    assert stamped(made)["span_rows"] == {"7": 4, "8": 2}
    rows = read_examples(str(tmp_path / "made"), "a")
    assert sorted(rows, key=lambda row: row["id"]) == [
        {"id": [1.0], "text": [b'a, "b"\nc']},
        {"id": [2.0], "text": []},
        {"id": [2.5], "text": [b"z"]},
    ]


def test_what_was_planned_is_read_or_nothing(tmp_path: Path) -> None:
    write(tmp_path, 1, "a")
    write(tmp_path, 2, "b")
    patterns = [SpanPattern("rows", "span-{SPAN}/*")]
    plan = plan_window(str(tmp_path), patterns, Window(last=2), pinned=True)
    write(tmp_path, 3, "c")  # Is not asked for.
    made = read(tmp_path, tmp_path / "made", spans=plan)
    assert stamped(made)["span_fingerprints"] == {
        str(span.number): span.fingerprint for span in plan.spans
    }
    write(tmp_path, 2, "other")
    with pytest.raises(InputError, match="span 2 has changed since the run was planned"):
        read(tmp_path, tmp_path / "changed", spans=plan)
    with pytest.raises(InputError, match="span 9 is not there any more"):
        read(tmp_path, tmp_path / "gone", spans=WindowPlan((PlannedSpan(9),)))


@pytest.mark.parametrize(
    ("content", "file_format", "message"),
    [
        (b"damaged", "import", "span-2/part is cut short or damaged"),
        (b"", "csv", "span-2/part is empty: a CSV file begins"),
        (b"other\n1\n", "csv", "span-2/part has the columns other and another file"),
        (b"id,text\n1\n", "csv", r"span-2/part, line 2: 1 cells, and the header has 2"),
        (b"id,text\n1,\xff\n", "csv", "span-2/part, line 2 is not UTF-8"),
        (b'id,text\n1,"a\n', "csv", "span-2/part ends inside a quoted cell"),
        (b'id,text\n1,2\n"', "csv", "span-2/part ends inside a quoted cell"),
        (b"id,text\r1,2\r", "csv", "span-2/part, line 1: .* it is not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes, file_format: str, message: str
) -> None:
    if file_format == "csv":
        (tmp_path / "span-1").mkdir()
        (tmp_path / "span-1" / "part").write_text("id,text\n1,a\n")
    else:
        write(tmp_path, 1, "a")
    (tmp_path / "span-2").mkdir()
    (tmp_path / "span-2" / "part").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path, tmp_path / "made", file_format=file_format, window=Window(last=2))


def test_what_does_not_fit_together_is_refused_when_the_pipeline_is_made() -> None:
    output = tfx.proto.Output(
        split_config=tfx.proto.SplitConfig(splits=[{"name": "train", "hash_buckets": 1}])
    )
    twice = Split(name="a", pattern="{SPAN}-{SPAN}")
    for message, arguments in {
        "not one of import, csv": {"file_format": "parquet"},
        "input has more than one split": {"input_config": TWO, "output_config": output},
        "does not tell spans apart": {"window": Window(last=2)},
        "give module_in_use": {"input_config": ROWS, "window": Window(since="published")},
        "twice": {"input_config": tfx.proto.Input(splits=[twice])},
    }.items():
        with pytest.raises(ConfigError, match=message):
            WindowExampleGen("/data", **arguments)
    planned = WindowPlan((PlannedSpan(1),))
    assert WindowExampleGen("/data", ROWS).READS_REMOTE_STATE
    assert not WindowExampleGen("/data", ROWS, spans=planned).READS_REMOTE_STATE


# --- Patterns ------------------------------------------------------------------------------------

_TEXT = st.text(string.ascii_letters + "-_.+()^$|", min_size=1, max_size=4)
_WILD = st.sampled_from(["*", "?", "[ab]", "[!0-9]"])
_WIDTHS = st.one_of(st.none(), st.integers(1, 19))


@st.composite
def _patterns(draw: st.DrawFn) -> tuple[SpanPattern, int, int | None]:
    """A pattern whose numbers have something between them, with numbers that fit into it."""

    def number(name: str) -> tuple[str, int]:
        width = draw(_WIDTHS)
        most = min(10 ** (width or 19) - 1, 2**63 - 1)
        return (f"{{{name}}}" if width is None else f"{{{name}:{width}}}"), draw(
            st.integers(0, most)
        )

    def between() -> str:
        return draw(_TEXT) + draw(st.sampled_from(["", "/"])) + draw(_TEXT)

    if draw(st.booleans()):
        spec, span = number("SPAN")
    else:
        spec = between().join(draw(st.permutations(["{YYYY}", "{MM}", "{DD}"])))
        span = draw(st.integers(-700_000, 2_900_000))
    text, version = f"{between()}{spec}{between()}", None
    if draw(st.booleans()):
        spec, version = number("VERSION")
        text = f"{text}{spec}{between()}" if draw(st.booleans()) else f"{spec}{text}"
    return SpanPattern("rows", text + draw(st.one_of(st.just(""), _WILD))), span, version


@given(_patterns(), st.sampled_from(["a", "b"]))
def test_what_tfx_fills_a_pattern_with_is_read_from_the_name(
    made: tuple[SpanPattern, int, int | None], wild: str
) -> None:
    pattern, span, version = made
    kinds = utils.verify_split_pattern_specs(Split(name="rows", pattern=pattern.text))
    name = utils.get_pattern_for_span_version(pattern.text, *kinds, span, version)
    for wildcard in ("[ab]", "[!0-9]", "*", "?"):
        name = name.removesuffix(wildcard) + wild if name.endswith(wildcard) else name
    numbers = pattern.numbers_of(name)
    assert numbers is not None
    assert numbers[:2] == (span, version)
