"""`hub-tfx cache`: what is in the cache, carried to machines without a network."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.options import (
    ManyValuesCommand,
    cache_dir_option,
    import_option,
    safety_options,
    safety_policy,
)
from hub_tfx.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from hub_tfx.store.bundle import BundledModule


@click.group(short_help="Carry modules of the cache to machines without a network.")
def cache() -> None:
    """Carry modules of the cache to machines without a network."""


@cache.command("export", cls=ManyValuesCommand, short_help="Write modules to one file.")
@click.argument("handles", metavar="HANDLE…", nargs=-1, required=True)
@click.option(
    "--output",
    required=True,
    metavar="FILE.tar",
    help="Write the bundle to this file; one that is there is replaced.",
)
@safety_options
@import_option
@cache_dir_option
@json_option
def export_(
    handles: tuple[str, ...],
    output: str,
    policy: Any,
    allow_ops: tuple[str, ...],
    imports: tuple[str, ...],
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Write the modules of the handles to one file, and fetch those that are missing first.

    A module whose handle is a path, or holds credentials, is written without its handle, and is
    resolved by its digest after the import.

    \b
    Example:
      hub-tfx cache export https://tfhub.dev/google/nnlm-en-dim128/2 --output modules.tar
    """
    from hub_tfx.store.bundle import export_bundle
    from hub_tfx.store.cache import ModuleCache

    cache = ModuleCache(cache_dir, policy=safety_policy(policy, allow_ops, imports))
    modules = export_bundle(cache, handles, output)
    rows = [_row(module) for module in modules]
    _print({"bundle": output, "modules": rows}, as_json)


@cache.command("import", short_help="Put the modules of such a file into the cache.")
@click.argument("bundle", metavar="FILE.tar")
@safety_options
@import_option
@cache_dir_option
@json_option
def import_(
    bundle: str,
    policy: Any,
    allow_ops: tuple[str, ...],
    imports: tuple[str, ...],
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Put the modules of a file that `cache export` wrote into the cache.

    Each is verified. From then on its handles are resolved without a network. Take bundles only
    from people whom you trust: which handle a module has is what the bundle says.

    \b
    Example:
      hub-tfx cache import modules.tar
    """
    from hub_tfx.store.bundle import import_bundle
    from hub_tfx.store.cache import ModuleCache

    cache = ModuleCache(cache_dir, policy=safety_policy(policy, allow_ops, imports))
    modules = import_bundle(cache, bundle)
    rows = [_row(module) | {"was_cached": module.was_cached} for module in modules]
    _print({"bundle": bundle, "modules": rows}, as_json)


def _row(module: "BundledModule") -> dict[str, Any]:
    row = asdict(module) | {"handles": list(module.handles)}
    del row["was_cached"]
    return row


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    columns = ("digest", "size_bytes", "handles")
    rows = [
        (row["digest"], str(row["size_bytes"]), ", ".join(row["handles"]))
        for row in document["modules"]
    ]
    print_table(columns, rows)
