"""`hub-tfx embed`."""

import time
from dataclasses import asdict, replace
from typing import Any

import click

from hub_tfx.cli.options import (
    BeamCommand,
    cache_dir_option,
    embed_config,
    embed_options,
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
from hub_tfx.cli.output import json_option, print_fields, print_json, tell
from hub_tfx.cli.start import fast_imports


@click.command(cls=BeamCommand)
@click.option(
    "--module",
    "handle",
    required=True,
    metavar="HANDLE",
    help="Embed with this module: a URL, an archive or a directory.",
)
@sha256_option()
@preprocessor_option
@preprocessor_sha256_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH…",
    help="Read these files, folders or globs: text (a record a line, feature `text`), CSV, JSON "
    "lines, TFRecord of tf.Example, compressed or not, and Parquet.",
)
@input_format_option
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="Write to this directory: a new one, or an earlier output, which is replaced.",
)
@embed_options
@safety_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["parquet", "tfrecord"]),
    default="parquet",
    show_default=True,
    help="Write Parquet, or gzipped tf.Examples (tfrecord).",
)
@click.option(
    "--previous",
    metavar="DIR",
    help="Copy rows that have not changed from this earlier output, which may be that of --output.",
)
@click.option(
    "--report",
    is_flag=True,
    help="Write a page on norms, neighbours and more to report/report.html in the output.",
)
@click.option(
    "--projector",
    is_flag=True,
    help="Write a sample for TensorBoard's projector to projector/ in the output.",
)
@cache_dir_option
@json_option
def embed(
    handle: str,
    digest: str | None,
    preprocessor: str | None,
    preprocessor_digest: str | None,
    inputs: tuple[str, ...],
    input_format: str | None,
    output: str,
    output_format: Any,
    policy: Any,
    allow_ops: tuple[str, ...],
    previous: str | None,
    report: bool,
    projector: bool,
    cache_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Embed files with a module, on Apache Beam.

    Rows that cannot be embedded go to dead_letters/ in the output, with a reason. Options after
    `--` go to Beam; without any the job runs in this process.

    \b
    Example:
      hub-tfx embed --module ./my_module --input 'corpus/*.csv' --keep id --output out
    """
    started_s = time.monotonic()
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    with fast_imports():
        from hub_tfx.cli.progress import shown_progress
        from hub_tfx.embed.job import embed_files
        from hub_tfx.store.cache import ModuleCache

    config, beam_arguments = embed_config(**options), engine_options()
    cache = ModuleCache(cache_dir, policy=safety_policy(policy, allow_ops, config.imports))
    module = cache.resolve(handle, digest=digest, verify=True)
    resolved = resolve_preprocessor(cache, preprocessor, preprocessor_digest)
    with shown_progress(), errors_told_once():
        result = embed_files(
            module,
            inputs,
            output,
            config,
            output_format,
            beam_arguments,
            resolved,
            input_format=input_format,
            previous=previous,
            report=report,
            projector=projector,
        )
    result = replace(result, seconds=time.monotonic() - started_s)
    if as_json:
        print_json(asdict(result))
        return
    copied = {"reused": previous is not None, "duplicates": config.deduplicate}
    copies = {name: f"{getattr(result, name):,}" for name, asked in copied.items() if asked}
    print_fields(
        {
            "rows": f"{result.rows:,}",
            "dead letters": f"{result.dead_letters:,}",
            **copies,
            "seconds": f"{result.seconds:.1f}",
            "rows/s": f"{result.rows_per_s:,.0f}",
            "output": result.output,
            "module digest": result.module_digest,
        }
    )
    if result.resumed:
        tell(f"{result.resumed:,} rows come from a run that failed")
    if result.dead_letters:
        letters = f"{output.rstrip('/')}/dead_letters"  # Not a Path: it would spoil a URL.
        tell(f"{result.dead_letters:,} rows rejected, see {letters}")
