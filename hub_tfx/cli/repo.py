"""`hub-tfx repo`: looks at a repository, and changes what may change in it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.output import json_option, print_fields, print_json, print_table, print_text, tell
from hub_tfx.cli.publish import repository_option, why_option

if TYPE_CHECKING:
    from hub_tfx.repository.layout import Version
    from hub_tfx.repository.storage import Storage

_DAMAGED = 5


@click.group(short_help="Look at a repository of published modules, and keep it.")
def repo() -> None:
    """Look at a repository of published modules, and keep it.

    REFERENCE is publisher/model for the newest version that is not yanked, publisher/model/3 for a
    number, or publisher/model@stable for an alias.
    """


def _command(name: str, short_help: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the group, with the options that all of them have."""

    def added(function: Callable[..., Any]) -> click.Command:
        return repo.command(name, short_help=short_help)(repository_option(json_option(function)))

    return added


@_command("ls", "List the modules, or the versions of one.")
@click.argument("name", metavar="[PUBLISHER/MODEL]", required=False)
def ls(name: str | None, repository: str, as_json: bool) -> None:
    """List the modules of a repository, or the versions of one.

    \b
    Example:
      hub-tfx repo ls acme/words --repository ./modules
    """
    storage = _opened(repository)
    if name is None:
        key, rows = "modules", _module_rows(storage)
    else:
        key, rows = "versions", _version_rows(storage, name)
    if as_json:
        print_json({"repository": storage.url, key: rows})
    elif rows:
        print_table(tuple(rows[0]), [tuple(map(_cell, row.values())) for row in rows])
    else:
        tell(f"{storage.url} holds no module yet: publish one by `hub-tfx publish`")


@_command("show", "Show a version: its card, its files and what happened to it.")
@click.argument("reference", metavar="REFERENCE")
def show(reference: str, repository: str, as_json: bool) -> None:
    """Show a version: its card, its files and what happened to it.

    \b
    Example:
      hub-tfx repo show acme/words@stable --repository ./modules
    """
    from hub_tfx.repository.facts import facts_of
    from hub_tfx.repository.names import Reference
    from hub_tfx.repository.versions import card_text, find

    storage = _opened(repository)
    version = find(storage, Reference.parse(reference))
    fields, history = _fields(storage, version), _history(storage, version)
    card = card_text(storage, version).decode(errors="replace")
    known = facts_of(storage, version)
    facts = None if known is None else known.to_dict()
    if as_json:
        files = [asdict(entry) for entry in version.entries]
        print_json({**fields, "files": files, "history": history, "facts": facts, "card": card})
        return
    print_fields({name: _cell(value) for name, value in fields.items()})
    print_text("")
    rows = [(e.path, str(e.size_bytes), e.sha256) for e in version.entries]
    print_table(("file", "size_bytes", "sha256"), rows)
    if variants := (facts or {}).get("variants"):
        print_text("")
        columns = ("kind", "signature", "largest_difference", "needs_flex")
        cells = [tuple(_cell(variant.get(name)) for name in columns) for variant in variants]
        print_table(("variant", *columns[1:]), cells)
    if history:
        print_text("")
        print_table(tuple(history[0]), [tuple(map(_cell, row.values())) for row in history])
    print_text(f"\n{card.rstrip()}")


@_command("alias", "Have an alias stand for another version.")
@click.argument("name", metavar="PUBLISHER/MODEL")
@click.argument("alias", metavar="ALIAS")
@click.argument("version", metavar="VERSION")
@why_option
def set_alias(
    name: str, alias: str, version: str, why: str, repository: str, as_json: bool
) -> None:
    """Have ALIAS stand for VERSION, a number, from now on; who did so and why is kept.

    \b
    Example:
      hub-tfx repo alias acme/words stable 3 --why "better recall" --repository ./modules
    """
    from hub_tfx.repository import changes
    from hub_tfx.repository.names import ModuleName, parse_version

    storage, parsed = _opened(repository), ModuleName.parse(name)
    number = parse_version(version)
    record = changes.set_alias(storage, parsed, alias, number, why)
    _print({"name": name, "alias": alias, **record.values, **_change(record)}, as_json)


@_command("yank", "Hide a version, which is never deleted.")
@click.argument("reference", metavar="PUBLISHER/MODEL/VERSION")
@why_option
@click.option("--undo", is_flag=True, help="Show the version again.")
def yank(reference: str, why: str, undo: bool, repository: str, as_json: bool) -> None:
    """Hide a version: `latest` skips it, and whoever resolves it by its number is warned.

    It is never deleted. Aliases that stand for it stay, and are named.

    \b
    Example:
      hub-tfx repo yank acme/words/3 --why "trained on the test set" --repository ./modules
    """
    from hub_tfx.repository.changes import set_yanked
    from hub_tfx.repository.versions import aliases_of

    storage, parsed = _opened(repository), _numbered(reference)
    record = set_yanked(storage, parsed.name, parsed.version, why, yanked=not undo)
    named = aliases_of(storage, parsed.name, parsed.version)
    fields = {
        "name": str(parsed.name),
        "version": parsed.version,
        "yanked": not undo,
        **(_change(record) if record else {}),
        "aliases": named,
    }
    _print(fields, as_json)
    if named and not undo:
        tell(
            f"{', '.join(named)} still stands for {reference}: move it by "
            f"`hub-tfx repo alias {parsed.name} {named[0]} VERSION --why …`"
        )


@_command("card", "Correct the card of a version.")
@click.argument("reference", metavar="PUBLISHER/MODEL/VERSION")
@click.argument("card", metavar="FILE")
@why_option
def correct_card(reference: str, card: str, why: str, repository: str, as_json: bool) -> None:
    """Give a version the card in FILE, as a revision; the module and earlier cards stay.

    \b
    Example:
      hub-tfx repo card acme/words/3 card.md --why "names the corpus" --repository ./modules
    """
    from hub_tfx.repository import changes

    storage, parsed = _opened(repository), _numbered(reference)
    record = changes.correct_card(storage, parsed.name, parsed.version, card, why)
    fields = {"name": str(parsed.name), "version": parsed.version, "revision": record.number}
    _print({**fields, "sha256": record.values.get("sha256"), **_change(record)}, as_json)


@_command("verify", "Read every version again and compare it with what was published.")
@click.argument("name", metavar="[PUBLISHER/MODEL]", required=False)
def verify(name: str | None, repository: str, as_json: bool) -> int:
    """Read every version again, or those of one module, and name what is damaged.

    It ends with 5 where anything is.

    \b
    Example:
      hub-tfx repo verify --repository ./modules
    """
    from hub_tfx.repository.names import ModuleName
    from hub_tfx.repository.verify import verify as verify_all

    storage = _opened(repository)
    found = verify_all(storage, None if name is None else ModuleName.parse(name))
    if as_json:
        print_json({"repository": storage.url, **asdict(found)})
    else:
        if found.damages:
            print_table(("file", "damage"), [(d.key, d.what) for d in found.damages])
        tell(
            f"{found.versions} versions, {found.size_bytes} bytes, {len(found.damages)} damaged "
            "files or records"
        )
    return _DAMAGED if found.damages else 0


@_command("gc", "Plan what can be deleted, and delete it with --yes.")
@click.option("--yes", is_flag=True, help="Delete what the plan lists.")
@click.option(
    "--forget",
    is_flag=True,
    help="Take publishers that seem to be at work for dead; a bucket cannot know.",
)
def gc(yes: bool, forget: bool, repository: str, as_json: bool) -> None:
    """Plan what can be deleted: work of publishers that died, and content that no version names.

    Nothing is deleted without --yes, and never a version, a card or a record.

    \b
    Example:
      hub-tfx repo gc --repository ./modules
    """
    from hub_tfx.repository.garbage import collect_garbage

    storage = _opened(repository)
    garbage = collect_garbage(storage, execute=yes, forget=forget)
    if as_json:
        files = [{"file": key, "size_bytes": size} for key, size in garbage.files]
        at_work = list(garbage.at_work)
        print_json(
            {"deleted": yes, "files": files, "size_bytes": garbage.size_bytes, "at_work": at_work}
        )
        return
    if garbage.files:
        print_table(("file", "size_bytes"), [(key, str(size)) for key, size in garbage.files])
    tell(
        f"{len(garbage.files)} files, {garbage.size_bytes} bytes"
        + (" deleted" if yes else ": delete them with --yes" if garbage.files else ": nothing")
    )
    for publisher in garbage.at_work:
        tell(f"spared, as a publisher seems to be at work: {publisher}")


def _numbered(reference: str) -> Any:
    """The Reference of a version; raises UsageError where it has no number."""
    from hub_tfx.errors import UsageError
    from hub_tfx.repository.names import Reference

    parsed = Reference.parse(reference)
    if parsed.version is None:
        raise UsageError(f"{reference} names no version: give its number, as in {parsed.name}/3")
    return parsed


def _opened(repository: str) -> "Storage":
    from hub_tfx.repository.storage import open_storage
    from hub_tfx.repository.versions import check_repository

    storage = open_storage(repository)
    check_repository(storage)
    return storage


def _module_rows(storage: "Storage") -> list[dict[str, Any]]:
    from hub_tfx.repository.versions import latest, modules, numbers

    return [
        {
            "name": str(name),
            "versions": len(numbers(storage, name)),
            "latest": latest(storage, name),
        }
        for name in modules(storage)
    ]


def _version_rows(storage: "Storage", name: str) -> list[dict[str, Any]]:
    from hub_tfx.repository.names import ModuleName
    from hub_tfx.repository.versions import aliases, listed, yanked

    parsed = ModuleName.parse(name)
    named, hidden = aliases(storage, parsed), yanked(storage, parsed)
    return [
        {
            "version": version.number,
            "digest": version.digest,
            "size_bytes": version.size_bytes,
            "when": version.when,
            "who": version.who,
            "aliases": [alias for alias, to in named.items() if to == version.number],
            "yanked": hidden[version.number].why if version.number in hidden else None,
        }
        for version in listed(storage, parsed)
    ]


def _fields(storage: "Storage", version: "Version") -> dict[str, Any]:
    from hub_tfx.repository.signing import signatures
    from hub_tfx.repository.versions import aliases_of, yank_of

    signed = signatures(storage, version.name, version.number)
    hidden = yank_of(storage, version.name, version.number)
    return {
        "handle": f"repo+{storage.url}//{version.key}",
        "name": str(version.name),
        "version": version.number,
        "digest": version.digest,
        "size_bytes": version.size_bytes,
        "when": version.when,
        "who": version.who,
        "aliases": aliases_of(storage, version.name, version.number),
        "yanked": hidden.why if hidden else None,
        "variants": sorted({entry.path.split("/")[1] for entry in version.variants}),
        "signed_by": sorted({str(record.values.get("key")) for record in signed}),
    }


def _history(storage: "Storage", version: "Version") -> list[dict[str, Any]]:
    from hub_tfx.repository.versions import happened

    return [
        {"when": record.when, "what": what, "who": record.who, "why": record.why}
        for what, record in happened(storage, version)
    ]


def _change(record: Any) -> dict[str, Any]:
    return {"when": record.when, "who": record.who, "why": record.why}


def _print(fields: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(fields)
    else:
        print_fields({name: _cell(value) for name, value in fields.items()})


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
