"""`hub-tfx evaluate`."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.evaluate_options import evaluate_config, evaluate_options, feeding_configs
from hub_tfx.cli.options import (
    BeamCommand,
    cache_dir_option,
    digest_option,
    engine_options,
    errors_told_once,
    input_format_option,
    preprocessor_option,
    preprocessor_sha256_option,
    resolve_preprocessor,
    safety_options,
    safety_policy,
    sha256_option,
)
from hub_tfx.cli.output import json_option, print_fields, print_json, print_table
from hub_tfx.cli.start import fast_imports
from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.evaluate.result import Evaluation, Interval, Measure

BLESSED = "blessed"
NOT_BLESSED = 4  # A gate said no.
_COLUMNS = (
    "measure",
    "of",
    "rows",
    "module",
    "interval",
    "baseline",
    "difference",
    "interval of the difference",
)


@click.command(cls=BeamCommand)
@click.option(
    "--module",
    "handle",
    required=True,
    metavar="HANDLE",
    help="Judge this module: a URL, an archive or a directory.",
)
@sha256_option()
@click.option(
    "--baseline",
    metavar="HANDLE",
    help="Compare it with this module, such as the one in use.  [none: a first version]",
)
@digest_option(
    "--baseline-sha256",
    "--baseline-digest",
    "baseline_digest",
    help="Take only the baseline with this digest.",
)
@preprocessor_option
@preprocessor_sha256_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH…",
    help="Compare them on the rows of these files, folders or globs, in any format that `embed` "
    "reads; rows that neither was trained on.",
)
@input_format_option
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="Write evaluation.json and report.html to this directory: a new one, or that of an "
    "earlier evaluation, which is replaced.",
)
@evaluate_options
@safety_options
@cache_dir_option
@json_option
def evaluate(
    handle: str,
    digest: str | None,
    baseline: str | None,
    baseline_digest: str | None,
    preprocessor: str | None,
    preprocessor_digest: str | None,
    inputs: tuple[str, ...],
    input_format: str | None,
    output: str,
    policy: Any,
    allow_ops: tuple[str, ...],
    cache_dir: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Decide whether a module is better than a baseline.

    Both embed the same rows, and are measured on what these rows are labelled with. Ends with 0 if
    the module is blessed, and with 4 if it is not. Options after `--` go to Beam; without any the
    job runs in this process.

    \b
    Example:
      hub-tfx evaluate --module tuned/module --baseline ./my_module --input test.csv \\
        --label topic --output evaluation
    """
    started_s = time.monotonic()
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    with fast_imports():
        from hub_tfx.cli.progress import shown_progress
        from hub_tfx.evaluate.job import evaluate_files
        from hub_tfx.store.cache import ModuleCache

    config = evaluate_config(options)
    feeding, baseline_feeding = feeding_configs(baseline is not None, **options)
    if baseline_digest and baseline is None:
        raise UsageError("--baseline-sha256 is that of --baseline: give both")
    beam_arguments = engine_options()
    imports = {*feeding.imports, *(baseline_feeding.imports if baseline_feeding else ())}
    cache = ModuleCache(cache_dir, policy=safety_policy(policy, allow_ops, sorted(imports)))
    module = cache.resolve(handle, digest=digest, verify=True)
    other = (
        None if baseline is None else cache.resolve(baseline, digest=baseline_digest, verify=True)
    )
    resolved = resolve_preprocessor(cache, preprocessor, preprocessor_digest)
    with shown_progress(), errors_told_once():
        evaluation = evaluate_files(
            module,
            other,
            inputs,
            output,
            config,
            feeding,
            baseline_feeding,
            beam_arguments,
            resolved,
            input_format=input_format,
        )
    _show(evaluation, output, time.monotonic() - started_s, as_json)
    return 0 if evaluation.is_blessed else NOT_BLESSED


def _show(evaluation: "Evaluation", output: str, seconds: float, as_json: bool) -> None:
    report = f"{output.rstrip('/')}/report.html"  # Not a Path: it would spoil a URL.
    if as_json:
        document = evaluation.to_dict()
        del document["made_by"]
        print_json({**document, "output": output, "report": report, "seconds": seconds})
        return
    reasons = evaluation.reasons
    numbers = ["reason", *(f"reason {n}" for n in range(2, len(reasons) + 1))]
    rows = evaluation.rows
    left_out = sum(rows.left_out.values())
    print_fields(
        {
            "verdict": evaluation.verdict,
            **dict(zip(numbers, reasons, strict=False)),
            "rows": f"{rows.sampled:,} of {rows.total:,}, {left_out:,} rejected",
            "report": report,
        }
    )
    print_table(_COLUMNS, [_cells(measure) for measure in evaluation.measures])


def _cells(measure: "Measure") -> Sequence[str]:
    return (
        measure.name,
        measure.slice or "all",
        f"{measure.n:,}" if measure.n else "-",
        _figure(measure.value),
        _span(measure.interval),
        _figure(measure.baseline),
        _figure(measure.difference),
        _span(measure.difference_interval),
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _span(interval: "Interval | None") -> str:
    return "-" if interval is None else " to ".join(map(_figure, interval))
