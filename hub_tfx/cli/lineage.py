"""`hub-tfx lineage`."""

from typing import TYPE_CHECKING

import click

from hub_tfx.cli.output import json_option, print_json
from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.lineage.graph import Family


@click.command(short_help="Show what a module or embeddings were made from and with.")
@click.argument("target", metavar="DIGEST|DIR")
@click.option(
    "--metadata",
    "metadata_path",
    required=True,
    metavar="PATH",
    help="Read this SQLite file of ML Metadata, and leave it as it is.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "dot", "mermaid"]),
    help="Print text, JSON, or a drawing for Graphviz (dot) or Mermaid.  [text]",
)
@click.option(
    "--generations",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    metavar="N",
    help="Follow at most N steps up, and as many down.",
)
@json_option
def lineage(
    target: str, metadata_path: str, output_format: str | None, generations: int, as_json: bool
) -> None:
    """Show the family of a module or of embeddings: what made it, what was made with it.

    DIGEST is a module's; the embeddings that were made with it belong to the answer. DIR is the
    directory of a module, or that of a HubModule or of embeddings that a pipeline made.

    \b
    Example:
      hub-tfx lineage run/artifacts/ModuleTrainer/module/7 --metadata run/metadata.sqlite
    """
    if as_json and output_format not in (None, "json"):
        raise UsageError(f"--json and --format {output_format}: choose one")
    from hub_tfx.lineage import draw
    from hub_tfx.lineage.find import find_roots
    from hub_tfx.lineage.graph import whole_family
    from hub_tfx.lineage.store import open_sqlite

    store = open_sqlite(metadata_path, read_only=True)
    digest, roots = find_roots(store, target, metadata_path)
    family = whole_family(store, roots, generations)
    if as_json or output_format == "json":
        print_json({"digest": digest, **family.to_dict()})
        return
    drawings = {"text": draw.as_text, "dot": draw.as_dot, "mermaid": draw.as_mermaid}
    if output_format in (None, "text"):
        click.echo(_heading(digest, family))
    click.echo(drawings[output_format or "text"](family))


def _heading(digest: str | None, family: "Family") -> str:
    from hub_tfx.lineage.draw import printable

    types = [family.artifacts[root].type_name for root in family.roots]
    counts = ", ".join(f"{types.count(name)} {name}" for name in dict.fromkeys(types))
    return printable(f"{counts} with digest {digest}" if digest else counts) + "\n"
