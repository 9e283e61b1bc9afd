"""The commands that pipelines add to `hub-tfx`, by entry point. Light until one is run."""

import json
import os
import re
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.output import json_option, print_json
from hub_tfx.errors import InputError, UsageError
from hub_tfx.module.manifest import Manifest

if TYPE_CHECKING:
    from hub_tfx_pipelines.family import Family

_HEX = re.compile(r"[0-9a-fA-F]{1,64}")
_SAVED_MODELS = ("saved_model.pb", "saved_model.pbtxt")
_NEAREST = 3


@click.command()
@click.argument("target", metavar="DIGEST|DIR")
@click.option(
    "--metadata",
    "metadata_path",
    required=True,
    metavar="PATH",
    help="The SQLite file of ML Metadata; it is only read.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "dot", "mermaid"]),
    help="dot is for Graphviz.  [text]",
)
@click.option(
    "--generations",
    type=click.IntRange(1, 200),
    default=50,
    show_default=True,
    help="How many steps to follow, up and down.",
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
    from hub_tfx_pipelines import draw, metadata
    from hub_tfx_pipelines.family import whole_family

    store = metadata.open_sqlite(metadata_path, read_only=True)
    digest, roots = _find(store, target, metadata_path)
    family = whole_family(store, roots, generations)
    if as_json or output_format == "json":
        print_json({"digest": digest, **family.to_dict()})
        return
    drawings = {"text": draw.as_text, "dot": draw.as_dot, "mermaid": draw.as_mermaid}
    if output_format in (None, "text"):
        click.echo(_heading(digest, family))
    click.echo(drawings[output_format or "text"](family))


def _heading(digest: str | None, family: "Family") -> str:
    from hub_tfx_pipelines.draw import printable

    types = [family.artifacts[root].type_name for root in family.roots]
    counts = ", ".join(f"{types.count(name)} {name}" for name in dict.fromkeys(types))
    return printable(f"{counts} with digest {digest}" if digest else counts) + "\n"


def _find(store: Any, target: str, metadata_path: str) -> tuple[str | None, list[Any]]:
    """The module's digest, if one is asked for, and the artifacts to begin with.

    Raises:
      UsageError: the target is neither a digest nor a directory.
      InputError: the directory holds none of ours, or ML Metadata knows of no such artifact.
    """
    from hub_tfx_pipelines.family import with_digest

    if os.path.isdir(target):
        digest = _digest_of_module(Path(target))
        if digest is None and (found := _at(store, target)):
            return None, found
        digest = digest or _digest_of_embeddings(Path(target))
    elif _HEX.fullmatch(target):
        digest = target.lower()
    else:
        raise UsageError(f"{target} is neither a directory nor a digest (64 hex digits)")
    found = with_digest(store, digest)
    if not found:
        raise InputError(
            f"{metadata_path} knows no artifact with digest {digest}; {_nearest(store, digest)}"
        )
    return digest, found


def _digest_of_module(directory: Path) -> str | None:
    """Of a module's directory or a HubModule's; None for any other."""
    if any((directory / name).is_file() for name in _SAVED_MODELS):
        return Manifest.of_directory(directory).digest
    manifest = directory / "manifest.json"
    if not ((directory / "module").is_dir() and manifest.is_file()):
        return None
    try:
        return Manifest.from_json(manifest.read_text()).digest
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest} is not the manifest of a HubModule: {error}") from error


def _at(store: Any, directory: str) -> list[Any]:
    """The artifacts whose files are in a directory."""
    absolute = {os.path.abspath(directory), os.path.realpath(directory)}
    uris = {uri for path in (directory.rstrip("/"), *absolute) for uri in (path, f"{path}/")}
    found = {a.id: a for uri in uris for a in store.get_artifacts_by_uri(uri)}
    return [found[i] for i in sorted(found)]


def _digest_of_embeddings(directory: Path) -> str:
    """Of the module that made the embeddings in a directory, from their manifest.

    Raises:
      InputError: there is no manifest of embeddings.
    """
    for manifest in sorted(directory.glob("manifest*.json")):
        try:
            return str(json.loads(manifest.read_text())["module"]["digest"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    raise InputError(
        f"{directory} holds neither a module nor embeddings, and ML Metadata knows no artifact "
        "there: give a module's directory, the directory of an artifact, or a digest"
    )


def _nearest(store: Any, digest: str) -> str:
    """The digests that are there, those first that begin alike."""
    import difflib

    known = {
        a.custom_properties[name].string_value
        for a in store.get_artifacts()
        for name in ("digest", "module_digest")
        if name in a.custom_properties
    }

    def likeness(other: str) -> tuple[int, float]:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(digest, other, strict=False))
        return len(list(same)), difflib.SequenceMatcher(None, digest, other).ratio()

    nearest = sorted(sorted(known), key=likeness, reverse=True)[:_NEAREST]
    return f"nearest: {', '.join(nearest)}" if nearest else "it knows no module at all"
