"""`hub-tfx search`: finds modules in a repository, or on a server."""

import hashlib
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hub_tfx._files import MAKE_ROOM, why
from hub_tfx._text import printable
from hub_tfx.cli import complete
from hub_tfx.cli.options import add_options, cache_dir_option
from hub_tfx.cli.output import ProgressLine, json_option, print_json, print_path, print_table, tell
from hub_tfx.errors import OutputError, TransientFetchError, UsageError

if TYPE_CHECKING:
    from hub_tfx.repository.catalogue import (
        Catalogue,
        CatalogueEntry,
        CatalogueQuery,
        CatalogueResults,
    )
    from hub_tfx.repository.storage import Storage

_log = logging.getLogger(__name__)
_ENVIRONMENT = "HUB_TFX_REPOSITORY"
_MAX_PROBLEMS = 3
_MAX_LIMIT = 1000


def _filter(name: str, what: str, complete: Any = None) -> Any:
    """An option of values to filter by, of which a module has to have one."""
    help_ = f"Find only modules {what}. May be repeated: one of them is enough."
    option = f"--{name}"
    return click.option(
        option, name, multiple=True, metavar="NAME", help=help_, shell_complete=complete
    )


def _options(command: Any) -> Any:
    """Adds the options of `search`, in this order."""
    return add_options(
        command,
        click.option(
            "--repository",
            envvar=_ENVIRONMENT,
            metavar="REPOSITORY",
            help="Search the repository in this directory, or at s3://… or gs://….  "
            f"[{_ENVIRONMENT}]",
        ),
        click.option("--hub", metavar="URL", help="Search the hub that is served at this address."),
        click.option(
            "--token-env",
            metavar="NAME",
            help="Send the token that this variable of the environment holds to the hub.",
        ),
        _filter("task", "for this task, such as text-embedding", complete.tasks),
        _filter("format", "of this format, saved_model or tf1_hub", complete.formats),
        _filter("publisher", "of this publisher", complete.publishers),
        _filter("language", "for this language, such as en"),
        _filter("license", "under this license, such as Apache-2.0", complete.licenses),
        click.option(
            "--fine-tunable/--not-fine-tunable",
            default=None,
            help="Find only modules that can be trained further, or only those that cannot.",
        ),
        click.option(
            "--yanked", is_flag=True, help="Find modules whose versions are all yanked, too."
        ),
        click.option(
            "--sort",
            type=click.Choice(["relevance", "newest", "name", "size"]),
            default="relevance",
            help="List the modules in this order.  [relevance; newest without words]",
        ),
        click.option(
            "--limit",
            type=click.IntRange(1, _MAX_LIMIT),
            default=50,
            metavar="N",
            help="List at most N modules.  [50]",
        ),
        cache_dir_option,
        click.option("-q", "--quiet", is_flag=True, help="Print nothing but the handles."),
        json_option,
    )


@click.command(short_help="Find modules in a repository, or on a hub.")
@click.argument("words", metavar="[WORD…]", nargs=-1)
@_options
@click.pass_context
def search(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    repository: str | None,
    hub: str | None,
    token_env: str | None,
    limit: int,
    cache_dir: str | None,
    quiet: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Find modules by words of their names, cards and labels; without words, list all.

    A module has to hold all words; the last one may be the beginning of a word. The index of a
    repository is kept in the cache, and is brought up to date first.

    \b
    Examples:
      hub-tfx search sentence vectors --repository ./modules --language de
      hub-tfx search --hub https://hub.example.org --task image-classification -q
    """
    from hub_tfx.repository.catalogue import CatalogueQuery

    _check_place(ctx, repository, hub)
    query = CatalogueQuery(" ".join(words), per_page=min(limit, 100), **asked)
    near = list[str]()
    if hub is not None:
        from hub_tfx.repository.catalogue.remote import Hub
        from hub_tfx.store.fetch.access import Access, using

        server = Hub(hub)
        with using(Access.from_environment(token_env=token_env or "")):
            results = _paged(server.search, query, limit)
        place, prefix = {"hub": server.address}, f"{server.address}/"
    else:
        from hub_tfx.repository.storage import handle_of, open_storage

        storage = open_storage(repository or "")
        place, prefix = {"repository": storage.url}, handle_of(storage, "")
        with _catalogue(storage, cache_dir) as catalogue:
            results = _paged(catalogue.search, query, limit)
            if words and not results.total:
                near = catalogue.nearest(query.text)
    if as_json:
        from hub_tfx.repository.catalogue import results_to_json

        print_json({**place, **results_to_json(results)})
        return
    _print(results.entries, prefix, quiet=quiet)
    _tell_rest(results, near, next(iter(place.values())))


def _check_place(ctx: click.Context, repository: str | None, hub: str | None) -> None:
    """Raises UsageError unless one place to search is named; --hub goes before the environment."""
    if repository is None and hub is None:
        raise UsageError(
            "there is nothing to search: name a repository by --repository, or a server by --hub"
        )
    is_typed = ctx.get_parameter_source("repository") == ParameterSource.COMMANDLINE
    if hub is not None and repository is not None and is_typed:
        raise UsageError("--repository and --hub are two places: name one of them")


def _paged(
    search: "Callable[[CatalogueQuery], CatalogueResults]", query: "CatalogueQuery", limit: int
) -> "CatalogueResults":
    """The results of as many pages as a limit needs, as if they were one."""
    results = search(query)
    entries = list(results.entries)
    for page in range(2, min(results.pages, -(-limit // query.per_page)) + 1):
        entries += search(replace(query, page=page)).entries
    return replace(results, entries=tuple(entries[:limit]))


@contextmanager
def _catalogue(storage: "Storage", cache_dir: str | None) -> "Iterator[Catalogue]":
    """The index of a repository, up to date: in the cache, or for this once where that is not
    possible."""
    from hub_tfx.repository.catalogue import Catalogue

    with ExitStack() as stack:
        try:
            catalogue = Catalogue.open(storage, index_path(storage, cache_dir))
        except OutputError as error:
            _log.info("%s is indexed for this search only: %s", storage.url, error)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hub_tfx-search-"))
            catalogue = Catalogue.open(storage, Path(folder, "index.sqlite"))
        stack.enter_context(catalogue)
        _refresh(catalogue, storage)
        yield catalogue


def index_path(
    storage: "Storage", cache_dir: str | None = None, *, may_be_new: bool = False
) -> Path:
    """The file of a repository's index in the cache, which is made as the cache itself makes it.

    Args:
      storage: the repository.
      cache_dir: the cache; that of the user if None.
      may_be_new: whether the first version may be published later.

    Raises:
      InputError: the place is not a repository, for which nothing is made.
      OutputError: the cache cannot be written.
    """
    from hub_tfx.repository.versions import check_repository
    from hub_tfx.store.folder import CacheFolder

    folder = CacheFolder(cache_dir)
    key = hashlib.sha256(storage.url.encode()).hexdigest()
    path = folder.catalogues / f"{key[:32]}.sqlite"
    if not path.exists():
        if not may_be_new:
            check_repository(storage)
        try:
            folder.make_base()
        except OSError as error:
            raise OutputError(
                f"{folder.root} cannot be written: {why(error)}; {MAKE_ROOM}"
            ) from error
    return path


def _refresh(catalogue: "Catalogue", storage: "Storage") -> None:
    line = ProgressLine(f"Indexing {printable(storage.url)}")
    line.start()
    try:
        problems = catalogue.refresh().problems
    except TransientFetchError as error:
        if not catalogue.count().modules:
            raise
        problems = (f"{error}; what was known before is searched",)
    finally:
        line.stop()
    for problem in problems[:_MAX_PROBLEMS]:
        tell(problem)
    if len(problems) > _MAX_PROBLEMS:
        tell(f"and {len(problems) - _MAX_PROBLEMS} more problems: see `hub-tfx repo verify`")


def _print(entries: "Sequence[CatalogueEntry]", prefix: str, *, quiet: bool) -> None:
    """Handles alone, or a table: with all that is known in a pipe, to be read on a terminal."""
    if quiet:
        for entry in entries:
            print_path(f"{prefix}{entry.handle}/{entry.version}")
    elif not entries:
        return
    elif sys.stdout.isatty():
        columns = ("module", "task", "size", "published", "summary")
        print_table(columns, [_short(entry) for entry in entries])
    else:
        rows = [_whole(entry, prefix) for entry in entries]
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])


def _short(entry: "CatalogueEntry") -> tuple[str, ...]:
    name = f"{entry.handle}/{entry.version}"
    return (name, ", ".join(entry.task), _size(entry.size_bytes), entry.when[:10], entry.summary)


def _size(size_bytes: int) -> str:
    """A size as people read it, in units of 1,000."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.1f} {unit}"
    return f"{size_bytes} B"


def _whole(entry: "CatalogueEntry", prefix: str) -> dict[str, str]:
    return {
        "handle": f"{prefix}{entry.handle}/{entry.version}",
        "task": ", ".join(entry.task),
        "format": entry.format or "",
        "language": ", ".join(entry.language),
        "license": entry.license or "",
        "fine_tunable": ", ".join(entry.values("fine_tunable")),
        "size_bytes": str(entry.size_bytes),
        "published": entry.when,
        "summary": entry.summary,
    }


def _tell_rest(results: "CatalogueResults", near: "Sequence[str]", place: str) -> None:
    """Says on stderr what the table does not: that there is more, or why there is nothing."""
    shown, total = len(results.entries), results.total
    if total > shown:
        tell(f"{shown} of {total} modules are listed: use more words or filters, or --limit")
    elif not total:
        nearest = f"; the nearest names: {', '.join(near)}" if near else ""
        tell(f"{place}: no module is found: use fewer words or filters{nearest}")
