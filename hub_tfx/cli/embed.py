"""`hub-tfx embed`."""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from hub_tfx.cli.options import BeamCommand, beam_options, errors_told_once, pairs
from hub_tfx.cli.output import json_option, print_fields, print_json


@click.command(cls=BeamCommand)
@click.option("--module", "handle", required=True, help="URL, archive or directory of the module.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH…",
    help="Files or globs: .txt (a record a line, feature `text`), .csv, .jsonl, .tfrecord, each "
    "also with .gz, and .parquet.",
)
@click.option(
    "--output", required=True, metavar="DIR", help="A new directory, or an earlier output."
)
@click.option("--signature", help="Which signature; `__call__` or `default` if not given.")
@click.option(
    "--input-map", multiple=True, metavar="KEY=FEATURE…", help="Which feature feeds which input."
)
@click.option(
    "--output-map",
    multiple=True,
    metavar="KEY=FEATURE…",
    help="Which outputs to write, and under which names.",
)
@click.option("--keep", multiple=True, metavar="FEATURE…", help="Features to copy to the output.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["parquet", "tfrecord"]),
    default="parquet",
    show_default=True,
    help="Of the output; tfrecord is gzipped tf.Example.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Rows a call of the module, at most.  [2048]"
)
@click.option(
    "--text-encoding",
    type=click.Choice(["utf-8", "bytes"]),
    help="What string inputs take; rows that are not valid UTF-8 are rejected.  [utf-8]",
)
@click.option(
    "--max-dead-letter-ratio",
    type=click.FloatRange(0, 1),
    help="Fail if a larger share of the rows is rejected.  [1.0: only if all are]",
)
@click.option("--cache-dir", metavar="DIR", help="Where modules are kept.  [TFHUB_CACHE_DIR]")
@json_option
def embed(
    handle: str,
    inputs: tuple[str, ...],
    output: str,
    input_map: tuple[str, ...],
    output_map: tuple[str, ...],
    output_format: Any,
    cache_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Embed files with a module, on Apache Beam.

    Rows that cannot be embedded go to DIR/dead_letters with a reason. Options behind `--` go to
    Beam; without any the job runs in this process.

    \b
    Example:
      hub-tfx embed --module ./my_module --input 'corpus/*.csv' --keep id --output out
    """
    started_s = time.monotonic()
    given = {name: value for name, value in options.items() if value is not None}
    given["inputs"] = pairs("--input-map", input_map)
    given["outputs"] = pairs("--output-map", output_map)
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    from hub_tfx.cli.progress import shown_progress
    from hub_tfx.embed.config import EmbedConfig
    from hub_tfx.embed.job import EmbedModule, embed_files
    from hub_tfx.store.cache import ModuleCache

    config, beam_arguments = EmbedConfig(**given), beam_options()
    resolved = ModuleCache(cache_dir).resolve(handle)
    module = EmbedModule(str(resolved.handle), str(resolved.path), resolved.digest, resolved.spec)
    with shown_progress(), errors_told_once():
        result = embed_files(module, inputs, output, config, output_format, beam_arguments)
    result = replace(result, seconds=time.monotonic() - started_s)
    if as_json:
        print_json(asdict(result))
        return
    print_fields(
        {
            "rows": f"{result.rows:,}",
            "dead letters": f"{result.dead_letters:,}",
            "seconds": f"{result.seconds:.1f}",
            "rows/s": f"{result.rows_per_s:,.0f}",
            "output": result.output,
            "module digest": result.module_digest,
        }
    )
    if result.dead_letters:
        letters = Path(output, "dead_letters")
        click.echo(f"hub-tfx: {result.dead_letters:,} rows rejected, see {letters}", err=True)
