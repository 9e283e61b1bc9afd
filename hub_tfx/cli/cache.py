"""`hub-tfx cache`: what is in the cache, kept small and whole, carried to other machines."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.options import (
    ManyValuesCommand,
    cache_dir_option,
    cache_folder_option,
    import_option,
    safety_options,
    safety_policy,
)
from hub_tfx.cli.output import json_option, print_json, print_table, tell
from hub_tfx.cli.units import Duration, Size
from hub_tfx.errors import DigestMismatchError, UsageError

if TYPE_CHECKING:
    from hub_tfx.store.bundle import BundledModule
    from hub_tfx.store.prune import CachedModule, PrunePlan, Removal


@click.group(short_help="List, check, shrink, export and import the cache.")
def cache() -> None:
    """List, check and shrink the cache, and carry modules to machines without a network."""


@cache.command("ls", short_help="List the modules, the last used first.")
@click.option("--quarantine", is_flag=True, help="List damaged entries that were set aside.")
@cache_folder_option
@json_option
def ls(quarantine: bool, cache_dir: str | None, as_json: bool) -> None:
    """List the modules of the cache, the last used first."""
    from hub_tfx.store.folder import CacheFolder
    from hub_tfx.store.prune import cached_modules, quarantined

    folder = CacheFolder(cache_dir)
    found: Sequence[CachedModule | Removal]
    found = quarantined(folder) if quarantine else cached_modules(folder)
    rows = [_listed(item) for item in found]
    _print({"cache": str(folder.root), "modules": rows}, as_json, (*_LISTED, "last_used"))


@cache.command("verify", short_help="Read every byte again.")
@cache_folder_option
@json_option
def verify(cache_dir: str | None, as_json: bool) -> None:
    """Hash every file of every module, on all cores, and compare it with its digest.

    A damaged module stays where it is, for those who use it; it is fetched again when it is
    resolved the next time. Ends with 5 if there is one.
    """
    from hub_tfx.store.folder import CacheFolder
    from hub_tfx.store.verify import verify_cache

    folder = CacheFolder(cache_dir)
    verified = verify_cache(folder)
    rows = [
        _listed(found.module) | {"passed": not found.damage, "damage": found.damage}
        for found in verified
    ]
    _print({"cache": str(folder.root), "modules": rows}, as_json, (*_LISTED, "damage"))
    damaged = [found for found in verified if found.damage]
    if damaged:
        raise DigestMismatchError(
            f"{len(damaged)} of {len(verified)} modules in the cache {folder.root} are damaged: "
            "resolve them again, with a network"
        )


@cache.command("prune", short_help="Remove modules that nobody uses.")
@click.option(
    "--max-size",
    "max_size_bytes",
    type=Size(),
    metavar="SIZE",
    help="Remove the least recently used modules until all together have at most this size, such "
    "as 10GB.",
)
@click.option(
    "--older-than",
    "older_than_s",
    type=Duration(),
    metavar="TIME",
    help="Remove modules that were not used for this time, such as 30d or 12h.",
)
@click.option("--quarantine", is_flag=True, help="Remove damaged entries that were set aside.")
@click.option(
    "--lock",
    "lock_files",
    multiple=True,
    metavar="FILE",
    help="Keep the modules that this lock file names. May be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@cache_folder_option
@json_option
def prune(
    max_size_bytes: int | None,
    older_than_s: float | None,
    quarantine: bool,
    lock_files: tuple[str, ...],
    dry_run: bool,
    cache_dir: str | None,
    as_json: bool,
) -> None:
    """Remove modules from the cache, after printing which, and how many bytes that frees.

    What a running process has resolved stays, and so does what a lock file names. Which module a
    handle stood for is remembered: fetched again, it has to be the same one.

    \b
    Example:
      hub-tfx cache prune --max-size 10GB --older-than 30d --lock modules.lock.json --dry-run
    """
    from hub_tfx.store import prune as pruning
    from hub_tfx.store.folder import CacheFolder
    from hub_tfx.store.lock_file import LockFile

    if max_size_bytes is None and older_than_s is None and not quarantine:
        raise UsageError("say what to remove: --max-size, --older-than or --quarantine")
    locked = [LockFile.read(file).modules.values() for file in lock_files]
    folder = CacheFolder(cache_dir)
    plan = pruning.plan_prune(
        folder,
        max_size_bytes=max_size_bytes,
        older_than_s=older_than_s,
        quarantine=quarantine,
        keep={entry.digest for entries in locked for entry in entries},
    )
    if not as_json:
        _print_plan(plan)
    done = plan if dry_run else pruning.prune(folder, plan)
    if as_json:
        print_json(_plan_document(done, dry_run=dry_run))
    tell(_summary(done, dry_run=dry_run, max_size_bytes=max_size_bytes))


_LISTED = ("digest", "size_bytes", "handles")


def _listed(item: "CachedModule | Removal") -> dict[str, Any]:
    used = datetime.fromtimestamp(item.used_s, timezone.utc)
    return {
        "digest": item.digest,
        "size_bytes": item.size_bytes,
        "handles": list(item.handles),
        "last_used": used.isoformat(timespec="seconds") if item.used_s else None,
    }


def _print_plan(plan: "PrunePlan") -> None:
    rows = [
        (item.digest, str(item.size_bytes), ", ".join(item.handles), item.kept or "remove")
        for item in (*plan.modules, *plan.quarantine)
    ]
    print_table((*_LISTED, "plan"), rows)


def _plan_document(plan: "PrunePlan", *, dry_run: bool) -> dict[str, Any]:
    def rows(items: "Sequence[Removal]") -> list[dict[str, Any]]:
        return [_listed(item) | {"kept": item.kept or None} for item in items]

    return {
        "dry_run": dry_run,
        "modules": rows(plan.modules),
        "quarantine": rows(plan.quarantine),
        "freed_bytes": plan.freed_bytes,
        "size_bytes": plan.kept_bytes,
    }


def _summary(plan: "PrunePlan", *, dry_run: bool, max_size_bytes: int | None) -> str:
    kept = sum(1 for item in plan.modules if item.kept)
    said = f"{plan.freed_bytes} bytes {'would be ' if dry_run else ''}freed"
    said += f", {plan.kept_bytes} bytes of modules stay"
    if kept:
        said += f"; {kept} of them kept although the options name them, see the table"
    if max_size_bytes is not None and plan.kept_bytes > max_size_bytes:
        said += f": that is more than {max_size_bytes}, try again when they are not in use"
    return said


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
@cache_folder_option
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


def _print(document: dict[str, Any], as_json: bool, columns: Sequence[str] = _LISTED) -> None:
    if as_json:
        print_json(document)
        return
    print_table(columns, [[_cell(row[name]) for name in columns] for row in document["modules"]])


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)
