"""`hub-tfx check`."""

from pathlib import Path

import click

from hub_tfx.cli.options import cache_dir_option, sha256_option, tags_option
from hub_tfx.cli.output import json_option, print_json, print_table, tell
from hub_tfx.errors import DigestMismatchError

_FAILED = 4  # A gate said no.


@click.command(short_help="Say whether others can build on a module.")
@click.argument("handle")
@click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="PACKAGE",
    help="Import this package first, such as one with the module's ops; may be repeated.",
)
@tags_option
@click.option("--no-run", is_flag=True, help="Do not load and run a copy of the module.")
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=600,
    show_default=True,
    help="Give loading and running at most this many seconds.",
)
@cache_dir_option
@sha256_option()
@json_option
def check(
    handle: str,
    imports: tuple[str, ...],
    tags: tuple[str, ...] | None,
    no_run: bool,
    timeout_s: float,
    cache_dir: str | None,
    digest: str | None,
    as_json: bool,
) -> int:
    """Say whether others can build on the module of HANDLE.

    HANDLE is a directory, which is checked where it is, or a URL or an archive. A copy is loaded
    and run: use --no-run for a module whose author you do not trust. Ends with 4 if a check failed.

    \b
    Example:
      hub-tfx check ./my_module
    """
    from hub_tfx.module.check import check as check_module

    name, path, found = _located(handle, cache_dir, digest)
    report = check_module(
        path, run=not no_run, timeout_s=timeout_s, imports=imports, tags=tags or ()
    )
    if as_json:
        print_json({"handle": name, "digest": found, **report.to_dict()})
    else:
        rows = [(c.name, c.outcome, c.why) for c in report.checks]
        print_table(("check", "outcome", "why"), rows)
        for failure in report.failures:
            tell(f"{failure.name}: {failure.fix}")
    return 0 if report.passed else _FAILED


def _located(handle: str, cache_dir: str | None, pinned: str | None) -> tuple[str, Path, str]:
    """Handle for people, directory and digest. A directory is not copied to the cache first.

    Raises:
      DigestMismatchError: the module has not the digest that is pinned.
    """
    from hub_tfx.module.handle import ModuleHandle
    from hub_tfx.module.inspect import inspect
    from hub_tfx.module.manifest import Manifest
    from hub_tfx.store.cache import ModuleCache

    parsed = ModuleHandle.parse(handle)
    path = Path(parsed.path)
    if parsed.is_local and path.is_dir():
        inspect(path)  # Before all files are hashed: it may not be a module at all.
        found = Manifest.of_directory(path).digest
        if pinned not in (None, found):
            raise DigestMismatchError(
                f"{parsed}: its digest is {found}, but {pinned} is pinned: check the module that "
                "has this digest, or pin the other one"
            )
        return str(parsed), path, found
    resolved = ModuleCache(cache_dir).resolve(parsed, digest=pinned)
    resolved.verify()
    return str(parsed), resolved.path, resolved.digest
