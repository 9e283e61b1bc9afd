"""`hub-tfx evaluate`, as a person or a script calls it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judged import labelled_rows, write_csv

from hub_tfx.cli.evaluate_options import feeding_configs
from hub_tfx.cli.main import run as run_main
from hub_tfx.errors import UsageError
from hub_tfx.evaluate import job

Result = tuple[int, str, str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with rows.csv and a cache of its own; modules are not called for their cost."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(job, "try_out", lambda *_: {})
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "rows.csv", labelled_rows(120))


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], judged_modules: dict[str, Path]
) -> Callable[..., Result]:
    """Runs the command in this process: exit code, stdout, stderr."""

    def call(module: str, baseline: str | None, *arguments: Any) -> Result:
        beside = ["--baseline", judged_modules[baseline]] if baseline else []
        given = ["--module", judged_modules[module], *beside, "--output", "out", *arguments]
        if "--input" not in arguments:
            given[:0] = ["--input", "rows.csv"]
        exit_code = run_main(["evaluate", *map(str, given)])
        output = capsys.readouterr()
        return exit_code, output.out, output.err

    return call


def test_a_blessed_module_ends_with_0_and_a_table(run: Callable[..., Result]) -> None:
    code, out, err = run("better", "worse", "--label", "topic", "--slice", "lang")
    assert (code, "error" in err) == (0, False)
    lines = [line.split("\t") for line in out.splitlines()]
    fields, table = dict(lines[:4]), lines[4:]
    assert list(fields) == ["verdict", "reason", "rows", "report"]
    assert (fields["verdict"], fields["report"]) == ("blessed", "out/report.html")
    assert fields["rows"] == "120 of 120, 0 rejected"
    assert "it is better" in fields["reason"]
    assert table[0][:5] == ["measure", "of", "rows", "module", "interval"]
    assert {len(line) for line in table} == {8}
    assert {tuple(line[:3]) for line in table} >= {
        ("probe_accuracy", "all", "120"),
        ("knn_accuracy", "lang=de", "40"),
    }
    assert "<html" in Path("out/report.html").read_text()


def test_one_that_is_not_ends_with_4_and_every_reason_in_json(run: Callable[..., Result]) -> None:
    limits = ["probe_accuracy>=0.99", "knn_accuracy>=0.99*baseline"]
    code, out, err = run(
        *("worse", "better", "--label", "topic", "--threshold", *limits, "--margin", "0.01"),
        *("--neighbours", "7", "--probe", "ridge", "--seed", "3", "--sample-rows", "100"),
        *("--pairs", "pair", "--primary", "knn_accuracy", "--json"),
    )
    assert (code, "error" in err) == (4, False)
    document = json.loads(out)
    assert list(document)[:5] == ["verdict", "reasons", "primary", "rule", "measures"]
    assert document["verdict"] == "not blessed"
    assert len(document["reasons"]) == 3
    assert (document["output"], document["report"]) == ("out", "out/report.html")
    written = json.loads(Path("out/evaluation.json").read_text())
    assert {**document, "made_by": "hub_tfx"}.items() >= written.items()
    given = {name: value for name, value in document["config"].items() if name in _GIVEN}
    assert given == _GIVEN


_GIVEN = {
    "label": "topic",
    "pairs": "pair",
    "primary": "knn_accuracy",
    "margin": 0.01,
    "thresholds": ["probe_accuracy>=0.99", "knn_accuracy>=0.99*baseline"],
    "sample_rows": 100,
    "neighbours": 7,
    "probe": "ridge",
    "seed": 3,
}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "give --label or --pairs, a feature by which the vectors are judged"),
        (["--label", "nothing"], "no feature 'nothing' for the label (--label); the input has "),
        (["--label", "topic", "--primary", "acuracy"], "'acuracy' is not a measure"),
        (["--label", "topic", "--threshold", "x"], "threshold 'x' cannot be read"),
        (["--label", "topic", "--baseline-output-key", "x"], "is for --baseline: give both"),
        (["--label", "topic", "--baseline-sha256", "0" * 64], "is that of --baseline: give both"),
        (["--label", "topic", "--output-key", "x"], "has no output 'x'; it has default"),
        (["--label", "topic", "--", "--nonsense"], "Beam has no option --nonsense"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_2(
    arguments: list[str], complaint: str, run: Callable[..., Result]
) -> None:
    code, out, err = run("better", None, *arguments)
    assert (code, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert complaint in err
    assert not Path("out").exists()


def test_inputs_that_are_missing_keep_their_exit_code(run: Callable[..., Result]) -> None:
    code, out, err = run("better", None, "--label", "topic", "--input", "no.csv")
    assert (code, out) == (1, "")
    assert "no file matches the input no.csv" in err


def test_the_baseline_is_pinned_as_well(
    run: Callable[..., Result], judged_modules: dict[str, Path]
) -> None:
    code, _, err = run("better", "worse", "--label", "topic", "--baseline-sha256", "0" * 64)
    assert code == 5
    assert "is pinned" in err
    assert str(judged_modules["worse"]) in err
    assert not Path("out").exists()


OPTIONS: dict[str, Any] = {
    "input_map": (),
    "output_key": None,
    "baseline_signature": None,
    "baseline_input_map": (),
    "baseline_output_key": None,
}


def test_the_baseline_is_fed_as_the_module_is_unless_it_is_said() -> None:
    given = {"input_map": ("x=text",), "output_key": "pooled", "signature": "s", "no_batch": None}
    mine, other = feeding_configs(True, **{**OPTIONS, **given, "batch_size": 8})
    assert mine == other
    assert (mine.signature, mine.inputs, mine.batch_size) == ("s", {"x": "text"}, 8)
    assert mine.outputs == {"pooled": "embedding"}
    of_baseline = {
        "baseline_signature": "t",
        "baseline_input_map": ("y=title",),
        "baseline_output_key": "sum",
    }
    _, other = feeding_configs(True, **{**OPTIONS, **given, **of_baseline})
    assert (other.signature, other.inputs) == ("t", {"y": "title"})
    assert other.outputs == {"sum": "embedding"}
    for name, value in of_baseline.items():
        with pytest.raises(UsageError, match=name.replace("_", "-")):
            feeding_configs(False, **{**OPTIONS, name: value})
