"""`hub-tfx history`, on runs that are recorded by hand."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.metadata_store import MetadataStore
from recorded_runs import RecordedRun, new_sqlite, tune
from rich.console import Console

from hub_tfx.cli.history import as_history
from hub_tfx.cli.main import run as run_command
from hub_tfx.errors import InputError
from hub_tfx.lineage.history import Run, run_of, runs_of

_EMBEDDINGS = {"rows": 100, "reused": 88, "span": 2, "spans": "[1, 2]", "handle": "x"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "metadata.sqlite")


@pytest.fixture
def store(path: str) -> MetadataStore:
    return new_sqlite(path)


def _only(store: MetadataStore) -> Run:
    [run] = runs_of(store)
    return run


def _history(path: str, *arguments: str) -> int:
    return run_command(["history", "--metadata", path, *arguments])


# --- What a run is -------------------------------------------------------------------------------


def test_a_run_that_tuned_and_published(store: MetadataStore) -> None:
    tune(RecordedRun(store, "tune", "r1"), 3, "blessed", "accuracy rose", 4)
    run = _only(store)
    assert (run.id, run.pipeline, run.spans, run.rows) == ("r1", "tune", (3,), 12)
    assert (run.base, run.published) == ("repo+/r//acme/words/3", "acme/words/4")
    assert (run.verdict, run.reason) == ("blessed", "accuracy rose")
    assert (run.embedded, run.reused) == (None, None)
    assert not run.open_steps
    assert [step.name for step in run.steps] == [
        *("ImportExampleGen", "ModuleResolver", "ModuleTrainer"),
        *("ModuleEvaluator", "ModulePublisher"),
    ]


def test_a_run_that_was_not_published(store: MetadataStore) -> None:
    tune(RecordedRun(store, "tune", "r1"), 3, "not blessed", "accuracy fell", None)
    assert (_only(store).verdict, _only(store).published) == ("not blessed", None)


@pytest.mark.parametrize("outcome", ["already published", "outdated"])
def test_a_run_that_came_second(store: MetadataStore, outcome: str) -> None:
    run = RecordedRun(store, "retrain", "r1")
    verdict = {"verdict": "blessed", "reason": "accuracy rose"}
    judged = run.step("ModuleEvaluator", {"evaluation": ("hub_tfx.ModuleEvaluation", verdict)})
    told = {"name": "a/b", "version": 2, "outcome": outcome, "why": "a/b/2 was first"}
    run.step("ModulePublisher", {"published": ("hub_tfx.HubModule", told)}, judged)
    found = _only(store)
    assert (found.verdict, found.reason, found.published) == (outcome, "a/b/2 was first", None)


def test_a_run_that_embedded(store: MetadataStore) -> None:
    run = RecordedRun(store, "embed", "r1")
    module = run.step("ModuleResolver", {"module": ("hub_tfx.HubModule", {"digest": "c" * 64})})
    run.step("EmbeddingGenerator", {"embeddings": ("Examples", _EMBEDDINGS)}, module)
    found = _only(store)
    assert (found.rows, found.embedded, found.reused) == (100, 12, 88)
    assert (found.spans, found.base) == ((1, 2), "c" * 12)


def test_spans_that_are_only_embedded_are_not_those_of_the_run(store: MetadataStore) -> None:
    run = RecordedRun(store, "retrain", "r1")
    for step, spans in (("WindowExampleGen", "[2, 3]"), ("CorpusExampleGen", "[1, 2, 3]")):
        run.step(step, {"examples": ("Examples", {"span": 3, "spans": spans})})
    run.step("EmbeddingGenerator", {"embeddings": ("Examples", {**_EMBEDDINGS, "spans": "[1, 2]"})})
    assert _only(store).spans == (2, 3)


def test_a_step_with_a_name_of_its_own(store: MetadataStore) -> None:
    run = RecordedRun(store, "a.b", "r1")
    run.step("ModuleResolver")
    run.step("PreprocessorResolver", type_name="ModuleResolver")
    RecordedRun(store, "a", "other").step("b.ModuleResolver")
    assert [step.name for step in run_of(store, "r1").steps] == [
        "ModuleResolver",
        "PreprocessorResolver",
    ]


def test_a_step_that_failed_and_one_that_never_ended(store: MetadataStore) -> None:
    run = RecordedRun(store, "tune", "r1")
    run.step("ImportExampleGen", {"examples": ("Examples", {"span": 1})})
    run.step("ModuleResolver", state="RUNNING")
    run.step("ModuleTrainer", state="FAILED", error='{"resultMessage": "no label", "code": 2}')
    found = _only(store)
    assert [(s.name, s.state, s.error) for s in found.open_steps] == [
        ("ModuleResolver", "RUNNING", None),
        ("ModuleTrainer", "FAILED", "no label"),
    ]
    assert found.spans == (1,)


@pytest.mark.parametrize("error", ["", "{", "[]", "{}", '{"resultMessage": ""}', "null"])
def test_an_error_that_cannot_be_read_is_none(store: MetadataStore, error: str) -> None:
    RecordedRun(store, "tune", "r1").step("ModuleTrainer", state="FAILED", error=error)
    assert _only(store).open_steps[0].error is None


def test_properties_of_other_people_that_make_no_sense(store: MetadataStore) -> None:
    odd = {"rows": "many", "spans": "{", "span": "x", "reused": "1"}
    RecordedRun(store, "tune", "r1").step("EmbeddingGenerator", {"embeddings": ("Examples", odd)})
    found = _only(store)
    assert (found.rows, found.spans, found.embedded) == (None, (), None)


def test_a_run_from_the_cache_has_the_same_artifacts_and_has_done_nothing(
    store: MetadataStore,
) -> None:
    first, again = (RecordedRun(store, "both", name) for name in ("r1", "r2"))
    for step, key, properties in (
        ("ModuleEvaluator", "evaluation", {"verdict": "blessed"}),
        ("ModulePublisher", "published", {"name": "a/b", "version": 1}),
        ("EmbeddingGenerator", "embeddings", _EMBEDDINGS),
    ):
        made = first.step(step, {key: ("Examples", properties)})
        again.record(step, made, {}, "CACHED")
    before, cached = runs_of(store)
    assert [step.outputs for step in cached.steps] == [step.outputs for step in before.steps]
    assert cached.is_cached
    assert (cached.rows, cached.spans, cached.verdict) == (100, (1, 2), "blessed")
    assert (before.published, before.embedded, before.reused) == ("a/b/1", 12, 88)
    assert (cached.published, cached.embedded, cached.reused) == (None, None, None)


def test_a_run_of_which_no_step_began(store: MetadataStore) -> None:
    RecordedRun(store, "embed", "r1")
    assert (_only(store).steps, _only(store).seconds, _only(store).is_cached) == ((), 0, False)


# --- Which runs ----------------------------------------------------------------------------------


def test_the_newest_runs_are_last_and_the_older_ones_left_out(store: MetadataStore) -> None:
    for number in range(5):
        RecordedRun(store, "even" if number % 2 == 0 else "odd", f"r{number}").step("Step")
    assert [run.id for run in runs_of(store, limit=2)] == ["r3", "r4"]
    assert [run.id for run in runs_of(store, "even", 2)] == ["r2", "r4"]
    assert len(runs_of(store, limit=None)) == 5


def test_a_run_by_the_beginning_of_its_id(store: MetadataStore) -> None:
    for name in ("2026-01-01", "2026-01-02", "2026-01", "2025"):
        RecordedRun(store, "tune", name).step("Step")
    assert run_of(store, "2025").id == "2025"
    assert run_of(store, "2026-01").id == "2026-01"
    assert run_of(store, "2026-01-02", "tune").id == "2026-01-02"
    with pytest.raises(InputError, match="3 runs begin with 2026: give more of it"):
        run_of(store, "2026")
    with pytest.raises(InputError, match="has no run 2026-01-03; the nearest: 2026-01-0"):
        run_of(store, "2026-01-03")
    with pytest.raises(InputError, match="has no run ; "):
        run_of(store, "")


def test_the_number_of_queries_does_not_grow_with_other_runs(
    store: MetadataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    call = store._call_method

    def counted(name: str, *arguments: object) -> None:
        calls.append(name)
        call(name, *arguments)

    monkeypatch.setattr(store, "_call_method", counted)
    asked = []
    for number in range(40):
        run = RecordedRun(store, "tune", f"r{number}")
        run.step("First")
        run.step("Second")
        if number in (5, 39):
            calls.clear()
            runs_of(store, limit=3)
            asked.append(len(calls))
    assert asked[0] == asked[1]


# --- The command ---------------------------------------------------------------------------------


def test_the_table_has_no_empty_column(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(RecordedRun(store, "tune", "r1"), 1, "not blessed", "accuracy fell", None)
    tune(RecordedRun(store, "tune", "r2"), 2, "blessed", "accuracy rose", 4)
    RecordedRun(store, "tune", "r3").step("ModuleTrainer", state="FAILED")
    RecordedRun(store, "tune", "r4")
    assert _history(path) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    names = ["run", "started", "span", "rows", "base", "verdict", "published", "seconds"]
    names += ["reason", "steps"]
    assert lines[0] == names
    rows = [dict(zip(names, line, strict=True)) for line in lines[1:]]
    assert [row["run"] for row in rows] == ["r1", "r2", "r3", "r4"]
    assert (rows[0]["verdict"], rows[0]["reason"]) == ("not blessed", "accuracy fell")
    assert [row["verdict"] for row in rows] == ["not blessed", "blessed", "failed", ""]
    assert (rows[1]["base"], rows[1]["published"]) == ("acme/words/2", "acme/words/4")
    assert [row["steps"] for row in rows] == [
        *("complete", "complete", "ModuleTrainer FAILED", "none began")
    ]


def test_the_table_has_the_last_line_of_an_error(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.dumps({"resultMessage": f"Traceback:\n  File x\nValueError: {'é' * 999}\n\n"})
    RecordedRun(store, "tune", "r1").step("ModuleTrainer", state="FAILED", error=told)
    for arguments in ((), ("--run", "r1")):
        assert _history(path, *arguments) == 0
        out = capsys.readouterr().out
        assert "ValueError: éé" in out
        assert "…" in out
        assert "Traceback" not in out
    assert _history(path, "--json", "--run", "r1") == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["error"].startswith("Traceback:\n")


def test_a_terminal_has_reasons_and_what_failed_below_each_run(
    store: MetadataStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, died = (f"2026-01-0{day}T02:00:00.123456" for day in (1, 2))
    run = RecordedRun(store, "retrain", first)
    decision = {"learn": 1, "reason": "spans 1, 2 and 4 new, 9 rows"}
    run.step("RetrainGate", {"decision": ("hub_tfx.RetrainDecision", decision)})
    run.step("ImportExampleGen", {"examples": ("Examples", {"span": 4, "spans": "[1, 2, 4]"})})
    judged = {"verdict": "blessed", "reason": "[better] it is"}
    run.step("ModuleEvaluator", {"evaluation": ("hub_tfx.ModuleEvaluation", judged)})
    run = RecordedRun(store, "retrain", died)
    run.step("RetrainGate", {"decision": ("hub_tfx.RetrainDecision", decision)})
    run.step("ModuleTrainer", state="RUNNING")
    console = Console(file=io.StringIO(), width=80)
    console.print(as_history(runs_of(store), 80))
    header, *lines = console.file.getvalue().splitlines()
    assert header.split() == ["run", "span", "verdict", "seconds"]
    assert [re.sub(r"\s+(\d\.\d$)?", " ", line).strip() for line in lines] == [
        "2026-01-01T02:00:00 1-2,4 blessed",
        "spans 1, 2 and 4 new, 9 rows",
        "[better] it is",
        "2026-01-02T02:00:00 not ended",
        "spans 1, 2 and 4 new, 9 rows",
        "ModuleTrainer RUNNING",
    ]
    monkeypatch.setattr("hub_tfx.cli.history._SECONDS", len("2026"))
    console.print(as_history(runs_of(store), 80))  # Years alone would not tell the two apart.
    assert {first, died} <= set(console.file.getvalue().split())


def test_a_narrow_terminal_has_columns_only(store: MetadataStore) -> None:
    tune(RecordedRun(store, "tune", "2026-01-01T02:00:00"), 1, "blessed", "accuracy rose", 2)
    console = Console(file=io.StringIO(), width=60)
    console.print(as_history(runs_of(store), 60))
    assert "reason" in console.file.getvalue().splitlines()[0]


def test_runs_of_several_pipelines_say_which(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tune", "embed"):
        RecordedRun(store, name, f"of-{name}").step("Step", state="CACHED")
    assert _history(path) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split("\t")[:2] == ["run", "pipeline"]
    assert [row.split("\t")[1] for row in rows] == ["tune", "embed"]
    assert [row.split("\t")[-1] for row in rows] == ["all cached", "all cached"]


def test_one_run_in_full(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(RecordedRun(store, "tune", "r1"), 1, "blessed", "accuracy rose", 2)
    assert _history(path, "--run", "r1") == 0
    out = capsys.readouterr().out
    assert "verdict\tblessed\nreason\taccuracy rose\npublished\tacme/words/2\n" in out
    assert "ModulePublisher\tCOMPLETE\t" in out
    assert "published /tune/ModulePublisher/published/r1" in out


def test_one_json_document(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(RecordedRun(store, "tune", "r1"), 1, "blessed", "accuracy rose", 2)
    assert _history(path, "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)["runs"]
    assert _history(path, "--json", "--run", "r1") == 0
    alone = json.loads(capsys.readouterr().out)
    assert listed == alone
    assert alone["steps"][2]["outputs"][0]["properties"]["rows_train"] == 8


def test_what_names_hold_steers_no_terminal(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tune(RecordedRun(store, "\x1b[31m", "a\tb\nc"), 1, "blessed", "\x07", 2)
    for arguments in ((), ("--run", "a")):
        assert _history(path, *arguments) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "\x07" not in out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--pipeline", "tnue"], 1, "has no pipeline tnue; it has tune"),
        (["--run", "r9"], 1, "has no run r9; the nearest: r1"),
        (["--run", "r1", "--limit", "1"], 2, "leave --limit out"),
        (["--limit", "0"], 2, "0 is not in the range x>=1"),
    ],
)
def test_an_error_is_one_line(
    store: MetadataStore,
    path: str,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    complaint: str,
) -> None:
    RecordedRun(store, "tune", "r1").step("Step")
    assert _history(path, *arguments) == code
    err = capsys.readouterr().err
    assert complaint in err
    assert err.count("\n") == 1


def test_a_store_without_a_run_says_so(
    store: MetadataStore, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _history(path) == 0
    assert capsys.readouterr().out == "no pipeline has run yet\n"
    assert _history(path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []}
    assert _history(path, "--pipeline", "tune") == 1
    assert "it has no pipeline at all" in capsys.readouterr().err
    assert _history(path, "--run", "r1") == 1
    assert "it has no run at all" in capsys.readouterr().err


def test_nothing_is_written_and_nothing_heavy_imported(store: MetadataStore, path: str) -> None:
    RecordedRun(store, "tune", "r1").step("Step")
    before = Path(path).read_bytes()
    Path(path).chmod(0o444)
    code = (
        "import sys; from hub_tfx.cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or bool({'tensorflow', 'tfx', 'apache_beam'} & sys.modules.keys()))"
    )
    arguments = ["history", "--metadata", path]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(path).read_bytes() == before
