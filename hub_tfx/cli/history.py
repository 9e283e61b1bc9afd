"""`hub-tfx history`: the runs of pipelines that ML Metadata knows."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx._text import shortened
from hub_tfx.cli.metadata_options import connection_of, metadata_option, metadata_password_option
from hub_tfx.cli.output import (
    as_table,
    is_terminal,
    json_option,
    print_fields,
    print_json,
    print_table,
    print_text,
)
from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hub_tfx.lineage.history import Run, RunStep

_DEFAULT_LIMIT = 20
_MAX_ERROR_CHARS = 300
_BELOW = ("decided", "reason", "steps")
_TIME, _SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\b"), len("2026-01-01T00:00:00")


@click.command(short_help="Show the runs of pipelines, and what became of them.")
@metadata_option("Read the ML Metadata that is there, and leave it as it is.", required=True)
@metadata_password_option
@click.option("--pipeline", metavar="NAME", help="Show the runs of this pipeline only.")
@click.option("--run", "run_id", metavar="ID", help="Show this run in full, with its steps.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help=f"Show the newest N runs.  [{_DEFAULT_LIMIT}]",
)
@json_option
def history(
    metadata: str,
    metadata_password_env: str | None,
    pipeline: str | None,
    run_id: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show the runs of pipelines, and what became of them.

    One line for each run, the newest last: its spans, rows and base module, the verdict on the new
    module, the version that was published, and rows that were embedded or reused. Below it, or in
    further columns: what was decided, the reason of the verdict, and what failed. Columns that
    would be empty are left out. ID is that of a run in the table, or its beginning.

    \b
    Example:
      hub-tfx history --metadata run/metadata.sqlite --pipeline finetune
    """
    if run_id is not None and limit is not None:
        raise UsageError("--run shows one run: leave --limit out")
    quiet_libraries()
    connection = connection_of(metadata, metadata_password_env)
    from hub_tfx.lineage.history import run_of, runs_of
    from hub_tfx.lineage.store import open_store

    store = open_store(connection, read_only=True)
    if run_id is not None:
        _print_run(run_of(store, run_id, pipeline), as_json)
        return
    runs = runs_of(store, pipeline, limit or _DEFAULT_LIMIT)
    if as_json:
        print_json({"runs": [run.to_dict() for run in runs]})
    elif runs:
        print_table(*table_of(runs, short=is_terminal()), _BELOW)
    else:
        print_text("no pipeline has run yet")


def table_of(runs: Sequence["Run"], *, short: bool) -> tuple[list[str], list[list[str]]]:
    """Names and rows of a table with a line for each run, without columns that are empty.

    Args:
      runs: what to show.
      short: whether people read it: without a start that the runs' names tell, and without what
        every run that went well has.
    """
    columns: Mapping[str, Callable[[Run], str]] = {
        "run": lambda run: run.id,
        "pipeline": lambda run: run.pipeline,
        "started": lambda run: run.started.replace("+00:00", "Z"),
        "span": lambda run: _ranges(run.spans),
        "rows": lambda run: _text(run.rows),
        "base": lambda run: _short(run.base or ""),
        "verdict": _verdict,
        "published": lambda run: run.published or "",
        "embedded": lambda run: _text(run.embedded),
        "reused": lambda run: _text(run.reused),
        "seconds": lambda run: f"{run.seconds:.1f}",
        "decided": lambda run: run.decided or "",
        "reason": lambda run: run.reason or "",
        "steps": _trouble if short else _steps,
    }
    cells = {name: [cell(run) for run in runs] for name, cell in columns.items()}
    if len(set(cells["pipeline"])) == 1:
        del cells["pipeline"]
    if short:
        cells["run"], is_time = _shorter(cells["run"])
        if is_time:
            del cells["started"]
    filled = {name: column for name, column in cells.items() if any(column)}
    return [*filled], [list(row) for row in zip(*filled.values(), strict=True)]


def as_history(runs: Sequence["Run"], width: int) -> "RenderableType":
    """The table that `hub-tfx history` prints on a terminal of this width."""
    return as_table(*table_of(runs, short=True), _BELOW, width)


def _shorter(ids: list[str]) -> tuple[list[str], bool]:
    """The names of runs, and whether all of them are times; those are cut to seconds if they can
    still be told apart."""
    if not all(_TIME.match(name) for name in ids):
        return ids, False
    cut = [name[:_SECONDS] for name in ids]
    return (cut if len(set(cut)) == len(ids) else ids), True


def _ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers, those that follow one another as one range: ``1-5,7``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, ends)) for ends in ranges)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _short(handle: str) -> str:
    """A handle without the repository or the server that it is from."""
    if handle.startswith("repo+"):
        return handle.rpartition("//")[2]
    return "/".join(handle.rstrip("/").split("/")[-3:]) if "/" in handle else handle


def _verdict(run: "Run") -> str:
    """The verdict; where there is none, that the run failed or did not end."""
    if run.verdict or not run.open_steps:
        return run.verdict or ""
    return "failed" if any(step.state == "FAILED" for step in run.open_steps) else "not ended"


def _steps(run: "Run") -> str:
    """What failed or did not end; otherwise how much there was to do."""
    if trouble := _trouble(run):
        return trouble
    cached = sum(step.state == "CACHED" for step in run.steps)
    return f"complete, {cached} cached" if cached else "complete"


def _trouble(run: "Run") -> str:
    """What failed or did not end, or that nothing was to be done."""
    if run.open_steps:
        return "; ".join(map(_state, run.open_steps))
    if not run.steps:
        return "none began"
    return "all cached" if run.is_cached else ""


def _state(step: "RunStep") -> str:
    return ": ".join(filter(None, [f"{step.name} {step.state}", _error(step)]))


def _error(step: "RunStep") -> str:
    """The last line of an error, which is what a traceback tells."""
    lines = [line for line in (step.error or "").splitlines() if line.strip()]
    return shortened(lines[-1].strip(), _MAX_ERROR_CHARS) if lines else ""


def _print_run(run: "Run", as_json: bool) -> None:
    if as_json:
        print_json(run.to_dict())
        return
    document: dict[str, Any] = {
        "run": run.id,
        "pipeline": run.pipeline,
        "started": run.started.replace("+00:00", "Z"),
        "seconds": f"{run.seconds:.1f}",
        "span": _ranges(run.spans),
        "rows": run.rows,
        "base": run.base,
        "decided": run.decided,
        "verdict": run.verdict,
        "reason": run.reason,
        "published": run.published,
        "embedded": run.embedded,
        "reused": run.reused,
    }
    print_fields({name: value for name, value in document.items() if value not in (None, "")})
    print_text("")
    rows = [
        [
            step.name,
            step.state,
            f"{step.seconds:.1f}",
            "; ".join(f"{made.key} {made.uri}" for made in step.outputs),
            _error(step),
        ]
        for step in run.steps
    ]
    print_table(["step", "state", "seconds", "artifacts", "error"], rows)
