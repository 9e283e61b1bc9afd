"""`hub-tfx check`."""

from typing import Any

import click

from hub_tfx.cli.options import (
    cache_dir_option,
    located,
    safety_options,
    safety_policy,
    sha256_option,
    tags_option,
)
from hub_tfx.cli.output import json_option, print_json, print_table, tell

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
@safety_options
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
    policy: Any,
    allow_ops: tuple[str, ...],
    tags: tuple[str, ...] | None,
    no_run: bool,
    timeout_s: float,
    cache_dir: str | None,
    digest: str | None,
    as_json: bool,
) -> int:
    """Say whether others can build on the module of HANDLE.

    HANDLE is a directory, which is checked where it is, or a URL or an archive. A copy is loaded
    and run, unless an op is found that is on no list of harmless ones. Ends with 4 if a check
    failed.

    \b
    Example:
      hub-tfx check ./my_module
    """
    from hub_tfx.module.check import check as check_module

    safety = safety_policy(policy, allow_ops, imports)
    module = located(handle, cache_dir, digest, safety)
    report = check_module(
        module.path,
        run=not no_run,
        timeout_s=timeout_s,
        imports=imports,
        tags=tags or (),
        policy=safety,
    )
    if as_json:
        print_json({"handle": module.handle, "digest": module.digest, **report.to_dict()})
    else:
        rows = [(c.name, c.outcome, c.why) for c in report.checks]
        print_table(("check", "outcome", "why"), rows)
        for failure in report.failures:
            tell(f"{failure.name}: {failure.fix}")
    return 0 if report.passed else _FAILED
