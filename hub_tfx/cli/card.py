"""`hub-tfx card`: cards are started, checked, and taken over from tfhub.dev."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub_tfx.cli.options import cache_dir_option, located
from hub_tfx.cli.output import json_option, print_problems, print_text, tell
from hub_tfx.errors import CardError, OutputError

if TYPE_CHECKING:
    from hub_tfx.module.spec import ModuleSpec

_output_option = click.option(
    "-o", "--output", metavar="FILE", help="Write the card to this new file.  [standard output]"
)


@click.group(short_help="Start, check and import the card of a module.")
def card() -> None:
    """Start, check and import the card of a module.

    A card is Markdown with YAML before it: docs/cards.md lists its keys.
    """


@card.command(short_help="Write a card to be filled in.")
@click.argument("module", required=False)
@cache_dir_option
@_output_option
def init(module: str | None, cache_dir: str | None, output: str | None) -> None:
    """Write a card with the keys that are to be filled in, and what each takes.

    MODULE is a handle or a directory; the tasks that fit its signatures are named.

    \b
    Example:
      hub-tfx card init ./my_module -o README.md
    """
    from hub_tfx.repository.card_text import skeleton

    tasks = () if module is None else _fitting(located(module, cache_dir).spec)
    _write(skeleton({}, like=tasks), output)
    if output:
        tell(f"fill in the keys without a value, then: hub-tfx card check {output}")


@card.command(short_help="Say what is wrong with cards, line by line.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@json_option
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is wrong with cards, as FILE:LINE: KEY: what.

    Ends with 2 if a card has an error, or cannot be read.

    \b
    Example:
      hub-tfx card check README.md
    """
    problems = [problem for file in files for problem in _problems(file)]
    print_problems(files, problems, as_json=as_json)
    return CardError.exit_code if problems else 0


@card.command("import", short_help="Take over a card of tfhub.dev.")
@click.argument("file")
@_output_option
def import_(file: str, output: str | None) -> None:
    """Take over a card of tfhub.dev: Markdown that begins with `# Module publisher/name/version`.

    What is dropped or cannot be taken over is told, line by line; keys that are missing are left to
    be filled in.

    \b
    Example:
      hub-tfx card import 1.md -o README.md
    """
    from hub_tfx.repository.card_import import import_card

    imported = import_card(file)
    _write(imported.text, output)
    for note in imported.notes:
        tell(note)


def _problems(file: str) -> tuple[str, ...]:
    from hub_tfx.repository.card import read_card

    try:
        read_card(file)
    except CardError as error:
        return error.problems
    return ()


def _fitting(spec: "ModuleSpec") -> tuple[str, ...]:
    """The tasks that the common signatures of a module may be for."""
    from hub_tfx.module.check.common import common_signatures

    tasks = {
        "text": ("text-embedding", "text-classification"),
        "text encoder": ("text-embedding", "text-language-model"),
        "text preprocessor": ("text-preprocessing",),
        "image": ("image-feature-vector", "image-classification"),
    }
    kinds = dict.fromkeys(common_signatures(spec).values())
    return tuple(task for kind in kinds for task in tasks[kind])


def _write(text: str, output: str | None) -> None:
    """Writes a card to a new file, or prints it.

    Raises:
      OutputError: the file is there already, or cannot be written.
    """
    from hub_tfx._files import MAKE_ROOM, check_output_name, replacing, why

    if output is None:
        print_text(text.removesuffix("\n"))
        return
    check_output_name(output)
    if os.path.lexists(output):
        raise OutputError(f"{output} is there already: name another file, or remove it")
    try:
        with replacing(Path(output)) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {why(error)}; {MAKE_ROOM}") from error
