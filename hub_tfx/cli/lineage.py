"""`hub-tfx lineage`: where a module or embeddings come from, and what was made with them."""

from typing import TYPE_CHECKING

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.metadata_options import connection_of, metadata_option, metadata_password_option
from hub_tfx.cli.output import json_option, print_json, print_text
from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.lineage.graph import Lineage


@click.command(short_help="Show what a module or embeddings were made from and with.")
@click.argument("target", metavar="DIGEST|DIR")
@metadata_option("Read the ML Metadata that is there, and leave it as it is.", required=True)
@metadata_password_option
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
    target: str,
    metadata: str,
    metadata_password_env: str | None,
    output_format: str | None,
    generations: int,
    as_json: bool,
) -> None:
    """Show where a module or embeddings come from, and what was made with them.

    DIGEST is the digest of a module; the answer includes the embeddings that were made with it. DIR
    is the directory of a module, or of a HubModule or embeddings that a pipeline made.

    \b
    Example:
      hub-tfx lineage run/artifacts/ModuleTrainer/module/7 --metadata run/metadata.sqlite
    """
    if as_json and output_format not in (None, "json"):
        raise UsageError(f"--json and --format {output_format}: choose one")
    quiet_libraries()
    connection = connection_of(metadata, metadata_password_env)
    from hub_tfx.lineage import draw
    from hub_tfx.lineage.find import find_roots
    from hub_tfx.lineage.graph import lineage_of
    from hub_tfx.lineage.store import open_store

    store = open_store(connection, read_only=True)
    digest, roots = find_roots(store, target, str(connection))
    found = lineage_of(store, roots, generations)
    if as_json or output_format == "json":
        print_json({"digest": digest, **found.to_dict()})
        return
    drawings = {"text": draw.as_text, "dot": draw.as_dot, "mermaid": draw.as_mermaid}
    if output_format in (None, "text"):
        print_text(_heading(digest, found))
    print_text(drawings[output_format or "text"](found))


def _heading(digest: str | None, found: "Lineage") -> str:
    types = [found.artifacts[root].type_name for root in found.roots]
    counts = ", ".join(f"{types.count(name)} {name}" for name in dict.fromkeys(types))
    return f"{counts} with digest {digest}\n" if digest else f"{counts}\n"
