"""`hub-tfx history`: the runs of pipelines that ML Metadata knows."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.metadata_options import connection_of, metadata_option, metadata_password_option
from hub_tfx.cli.output import json_option, print_fields, print_json, print_table, print_text
from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.lineage.history import Run, RunStep

_DEFAULT_LIMIT = 20


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
    module with the reason, the version that was published, rows that were embedded or reused, and
    the steps that failed. Columns that would be empty are left out. ID is that of a run in the
    table, or its beginning.

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
        print_table(*table_of(runs))
    else:
        print_text("no pipeline has run yet")


def table_of(runs: Sequence["Run"]) -> tuple[list[str], list[list[str]]]:
    """Names and rows of a table with a line for each run, without columns that are empty."""
    columns: Mapping[str, Callable[[Run], str]] = {
        "run": lambda run: run.id,
        "pipeline": lambda run: run.pipeline,
        "started": lambda run: run.started.replace("+00:00", "Z"),
        "span": lambda run: ",".join(map(str, run.spans)),
        "rows": lambda run: _text(run.rows),
        "base": lambda run: _short(run.base or ""),
        "verdict": _verdict,
        "published": lambda run: run.published or "",
        "embedded": lambda run: _text(run.embedded),
        "reused": lambda run: _text(run.reused),
        "seconds": lambda run: f"{run.seconds:.1f}",
        "steps": _steps,
    }
    cells = {name: [cell(run) for run in runs] for name, cell in columns.items()}
    if len(set(cells["pipeline"])) == 1:
        del cells["pipeline"]
    filled = {name: column for name, column in cells.items() if any(column)}
    return [*filled], [list(row) for row in zip(*filled.values(), strict=True)]


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _short(handle: str) -> str:
    """A handle without the repository or the server that it is from."""
    if handle.startswith("repo+"):
        return handle.rpartition("//")[2]
    return "/".join(handle.rstrip("/").split("/")[-3:]) if "/" in handle else handle


def _verdict(run: "Run") -> str:
    return ": ".join(filter(None, [run.verdict, run.reason]))


def _steps(run: "Run") -> str:
    """What failed or did not end; otherwise how much there was to do."""
    if run.open_steps:
        return "; ".join(map(_state, run.open_steps))
    if not run.steps:
        return "none began"
    if run.is_cached:
        return "all cached"
    cached = sum(step.state == "CACHED" for step in run.steps)
    return f"complete, {cached} cached" if cached else "complete"


def _state(step: "RunStep") -> str:
    return ": ".join(filter(None, [f"{step.name} {step.state}", step.error]))


def _print_run(run: "Run", as_json: bool) -> None:
    if as_json:
        print_json(run.to_dict())
        return
    document: dict[str, Any] = {
        "run": run.id,
        "pipeline": run.pipeline,
        "started": run.started.replace("+00:00", "Z"),
        "seconds": f"{run.seconds:.1f}",
        "span": ",".join(map(str, run.spans)),
        "rows": run.rows,
        "base": run.base,
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
            step.error or "",
        ]
        for step in run.steps
    ]
    print_table(["step", "state", "seconds", "artifacts", "error"], rows)
