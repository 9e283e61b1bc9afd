"""`hub-tfx diff`: what is different between two modules."""

from typing import TYPE_CHECKING

import click

from hub_tfx.cli.options import cache_dir_option, located
from hub_tfx.cli.output import json_option, print_fields, print_json, print_table, print_text

if TYPE_CHECKING:
    from hub_tfx.module.diff import ModuleDiff

_NONE = "-"


@click.command(short_help="Show what is different between two modules.")
@click.argument("left", metavar="A")
@click.argument("right", metavar="B")
@cache_dir_option
@json_option
def diff(left: str, right: str, cache_dir: str | None, as_json: bool) -> None:
    """Show what is different between the modules A and B, and whether B can replace A.

    Both are handles as `hub-tfx resolve` takes them; a directory is compared where it is. What
    breaks callers of A comes first. Nothing is run. Ends with 0 whatever the answer is: `drop_in`
    of --json is for scripts.

    \b
    Example:
      hub-tfx diff ./old_module ./new_module
    """
    from hub_tfx.module.diff import compare

    found = compare(located(left, cache_dir), located(right, cache_dir))
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)


def _print(found: "ModuleDiff") -> None:
    fields = {"verdict": found.verdict}
    for name, old, new in (
        ("handle", found.left.handle, found.right.handle),
        ("digest", found.left.digest, found.right.digest),
        ("size_bytes", found.left.size_bytes, found.right.size_bytes),
    ):
        if old != new:
            fields[name] = f"{old} → {new}"
    print_fields(fields)
    if found.changes:
        print_text("")
        rows = [
            ("breaking" if c.breaks else "compatible", c.what, c.left or _NONE, c.right or _NONE)
            for c in found.changes
        ]
        print_table(("change", "what", "A", "B"), rows)
    if found.files:
        print_text("")
        sizes = [(f.path, _size(f.left_bytes), _size(f.right_bytes)) for f in found.files]
        print_table(("file", "A bytes", "B bytes"), sizes)


def _size(size_bytes: int | None) -> str:
    return _NONE if size_bytes is None else str(size_bytes)
