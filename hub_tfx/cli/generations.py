"""`hub-tfx generations`: what a root of embeddings holds. Imports neither TensorFlow nor Beam."""

from dataclasses import asdict

import click

from hub_tfx.cli.output import json_option, print_json, print_table, tell


@click.command(short_help="List the generations of embeddings in a root.")
@click.argument("root", metavar="ROOT")
@json_option
def generations(root: str, as_json: bool) -> None:
    """List the generations of embeddings in ROOT, a directory, s3://… or gs://…, the latest last.

    Each holds the embeddings of one run of a pipeline, whole. What reads ROOT reads the latest one,
    as `hub-tfx embed --previous ROOT` does.

    \b
    Example:
      hub-tfx generations ./embeddings
    """
    from hub_tfx.embed.generations import list_generations

    found = list_generations(root)
    latest = found[-1].number if found else None
    if as_json:
        print_json({"root": root, "latest": latest, "generations": [*map(asdict, found)]})
    elif found:
        columns = ("generation", "module", "digest", "rows", "when", "run", "latest")
        rows = [
            (
                str(generation.number),
                generation.module.handle,
                generation.module.digest,
                str(generation.rows),
                generation.when.replace("+00:00", "Z"),
                generation.run,
                "yes" if generation.number == latest else "",
            )
            for generation in found
        ]
        print_table(columns, rows)
    else:
        tell(f"{root} holds no generation yet: a pipeline with --embeddings-root pushes one")
