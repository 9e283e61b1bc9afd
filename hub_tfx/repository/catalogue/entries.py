"""What a catalogue is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from hub_tfx._text import hint, nearest, quoted
from hub_tfx.errors import ConfigError

Sort = Literal["relevance", "newest", "name", "size"]
SORTS: tuple[Sort, ...] = get_args(Sort)
FACETS = ("task", "format", "publisher", "language", "license", "fine_tunable")
"""What results are filtered by, each a field of CatalogueQuery."""
YES, NO = "yes", "no"
MAX_PER_PAGE = 100
_MAX_TEXT_CHARS = 500
_MAX_VALUES = 50
_MAX_PAGE = 1_000_000


@dataclass(frozen=True)
class CatalogueQuery:
    """What is looked for; without anything, all modules.

    Several values of one facet widen the search, several facets narrow it.

    Attributes:
      text: words that the name, the card or the labels of a module hold, all of them; the last one
        may be the beginning of a word.
      task, format, publisher, language, license: values of which a module has at least one; any
        if empty.
      fine_tunable: whether others can train the module; either if None.
      yanked: whether to find modules whose versions are all yanked, too.
      sort: ``relevance`` is ``newest`` where there is no text.
      page: 1, 2, 3 ...
      per_page: at most MAX_PER_PAGE.

    Raises:
      ConfigError: a value is out of its bounds.
    """

    text: str = ""
    task: tuple[str, ...] = ()
    format: tuple[str, ...] = ()
    publisher: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    fine_tunable: bool | None = None
    yanked: bool = False
    sort: Sort = "relevance"
    page: int = 1
    per_page: int = 50

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_TEXT_CHARS:
            raise ConfigError(
                f"the query has {len(self.text)} characters, more than {_MAX_TEXT_CHARS}: use "
                "fewer words"
            )
        if self.sort not in SORTS:
            near = hint(nearest(str(self.sort), SORTS))
            raise ConfigError(
                f"{quoted(self.sort)} is not an order: use one of {', '.join(SORTS)}{near}"
            )
        for name, number, most in (
            ("page", self.page, _MAX_PAGE),
            ("per_page", self.per_page, MAX_PER_PAGE),
        ):
            if not 1 <= number <= most:
                raise ConfigError(f"{name} is {number}: it takes a number from 1 to {most}")
        for name in FACETS:
            if len(self.values(name)) > _MAX_VALUES:
                raise ConfigError(f"{name} has more than {_MAX_VALUES} values: give fewer")

    def values(self, facet: str) -> tuple[str, ...]:
        """The values that are asked for of a facet; none where any will do."""
        if facet == "fine_tunable":
            return () if self.fine_tunable is None else (yes_or_no(self.fine_tunable),)
        found: tuple[str, ...] = getattr(self, facet)
        return found


@dataclass(frozen=True)
class CatalogueEntry:
    """A module, as its newest version that is not yanked shows it; what is not known is None.

    Attributes:
      handle: ``publisher/model``.
      version: number of that version; of the newest one where all are yanked.
      when: when it was published, in UTC as ISO 8601 writes it.
      digest: SHA-256 of its manifest, in hex.
      size_bytes: size of its files together.
      versions: how many versions the module has.
      yanked: whether all of them are yanked.
      summary, task, license, language, owners: as its card has them, with all corrections.
      format, fine_tunable, embedding_dim: as its facts have them.
      blessed: the verdict of its evaluation.
      variants: other formats that it is published in.
      aliases: alias -> number, without ``latest``.
    """

    handle: str
    version: int
    when: str
    digest: str
    size_bytes: int
    versions: int
    yanked: bool
    summary: str = ""
    task: tuple[str, ...] = ()
    format: str | None = None
    license: str | None = None
    language: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    fine_tunable: bool | None = None
    embedding_dim: int | None = None
    blessed: bool | None = None
    variants: tuple[str, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)

    @property
    def publisher(self) -> str:
        return self.handle.partition("/")[0]

    @property
    def model(self) -> str:
        return self.handle.partition("/")[2]

    def values(self, facet: str) -> tuple[str, ...]:
        """The values of a facet, such as the tasks; none where they are not known."""
        value = getattr(self, facet)
        if isinstance(value, bool):
            return (yes_or_no(value),)
        if isinstance(value, tuple):
            return value
        return (value,) if value else ()


@dataclass(frozen=True)
class Facet:
    """A value to filter by.

    Attributes:
      value: the value.
      count: how many modules have it, among those that the query without this facet finds.
      selected: whether the query asks for it.
    """

    value: str
    count: int
    selected: bool


@dataclass(frozen=True)
class CatalogueResults:
    """A page of what was found.

    Attributes:
      query: what was asked.
      entries: the modules of this page, in order.
      total: how many there are on all pages.
      page: number of this page; one that is higher than ``pages`` is empty.
      pages: how many pages there are; at least 1.
      facets: name -> its values, the most frequent first, and those that are selected.
    """

    query: CatalogueQuery
    entries: tuple[CatalogueEntry, ...]
    total: int
    page: int
    pages: int
    facets: Mapping[str, tuple[Facet, ...]]


@dataclass(frozen=True)
class NewVersion:
    """A version that was published.

    Attributes:
      handle: ``publisher/model/3``.
      when: when, in UTC as ISO 8601 writes it.
      summary: what the card of the module says now.
    """

    handle: str
    when: str
    summary: str


@dataclass(frozen=True)
class Publisher:
    """Somebody who has published modules.

    Attributes:
      name: the first part of their handles.
      modules: how many modules there are that are not yanked altogether.
      when: when the newest of these was published; empty where there is none.
    """

    name: str
    modules: int
    when: str


@dataclass(frozen=True)
class Counts:
    """How much is in an index.

    Attributes:
      modules: modules, with those that are yanked altogether.
      versions: their versions, with yanked ones.
    """

    modules: int
    versions: int


@dataclass(frozen=True)
class Changes:
    """What a refresh has brought into the index.

    Attributes:
      added, updated, removed: handles of modules, sorted.
      problems: what could not be read, a line each that names the module. It is tried again by
        every refresh, so that it is told until it is repaired.
    """

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether searches find what they found before."""
        return not (self.added or self.updated or self.removed)


def yes_or_no(value: bool) -> str:
    return YES if value else NO
