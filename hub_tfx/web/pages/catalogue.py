"""The pages that list modules: the catalogue, and what one publisher has."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from hub_tfx.repository.catalogue import (
    FACETS,
    SORTS,
    CatalogueEntry,
    CatalogueQuery,
    CatalogueResults,
    Facet,
    query_to_parameters,
)

_TITLES = {
    "task": "Task",
    "format": "Format",
    "publisher": "Publisher",
    "language": "Language",
    "license": "License",
    "fine_tunable": "Fine-tunable",
}
_SORTS = {
    "relevance": "Best match",
    "newest": "Newest",
    "name": "Name",
    "size": "Size",
}
_VALUES = 10
"""Values of a facet that are listed; those that are selected always are."""


@dataclass(frozen=True)
class Choice:
    """A link to the same list with one thing changed.

    Attributes:
      label: what it is called.
      href: the address.
      count: how many modules there are; None where it is not a filter.
      is_current: whether it is what the list shows now.
      facet: the facet that it is a value of, in words.
    """

    label: str
    href: str
    count: int | None = None
    is_current: bool = False
    facet: str = ""


@dataclass(frozen=True)
class ChoiceGroup:
    """A facet with its values.

    Attributes:
      title: what it is called.
      choices: its values.
      more: number of values that are not listed.
    """

    title: str
    choices: tuple[Choice, ...]
    more: int = 0


@dataclass(frozen=True)
class ListPage:
    """A page of a list of modules; its twin has the results.

    Attributes:
      results: what was found.
      path: path of the page.
      publisher: the publisher whose modules are listed; None for all.
      nearest: handles that are like the text that was looked for, where nothing was found.
    """

    results: CatalogueResults
    path: str
    publisher: str | None = None
    nearest: tuple[str, ...] = ()

    @property
    def query(self) -> CatalogueQuery:
        return self.results.query

    @property
    def entries(self) -> tuple[CatalogueEntry, ...]:
        return self.results.entries

    @property
    def groups(self) -> tuple[ChoiceGroup, ...]:
        """The facets in which there is something to choose."""
        groups = (self._group(name) for name in self._facets())
        return tuple(group for group in groups if self._divides(group))

    @property
    def removable(self) -> tuple[Choice, ...]:
        """A link for each filter, which takes it away."""
        return tuple(
            Choice(value, self._toggled(name, value), facet=_TITLES[name])
            for name in self._facets()
            for value in self.query.values(name)
        )

    @property
    def unfiltered(self) -> str:
        """The address without filters."""
        plain = CatalogueQuery(self.query.text, sort=self.query.sort)
        return self._href(replace(plain, publisher=self.query.publisher if self.publisher else ()))

    @property
    def sorts(self) -> tuple[Choice, ...]:
        """The orders; the best match is one only where there is something to match."""
        known = SORTS if self.query.text else SORTS[1:]
        default = "newest" if self.query.sort == "relevance" and not self.query.text else None
        current = default or self.query.sort
        return tuple(
            Choice(
                _SORTS[sort], self._href(replace(self.query, sort=sort)), is_current=sort == current
            )
            for sort in known
        )

    @property
    def previous(self) -> str | None:
        """The address of the page before this one."""
        page = min(self.results.page, self.results.pages + 1)
        return self._to(page - 1) if page > 1 else None

    @property
    def next(self) -> str | None:
        """The address of the page after this one."""
        return self._to(self.results.page + 1) if self.results.page < self.results.pages else None

    @property
    def numbered(self) -> tuple[Choice | None, ...]:
        """Pages around this one, the first and the last; None where some are left out."""
        last, page = self.results.pages, self.results.page
        near = {1, last, *range(max(1, page - 2), min(last, page + 2) + 1)}
        choices = list[Choice | None]()
        before = 0
        for number in sorted(near):
            if number != before + 1:
                choices.append(None)
            choices.append(Choice(str(number), self._to(number), is_current=number == page))
            before = number
        return tuple(choices)

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """What a search from this page keeps: filters and order."""
        query = replace(self.query, text="", page=1)
        return tuple(self._parameters(query))

    @property
    def is_filtered(self) -> bool:
        return bool(self.removable or self.query.text)

    def _facets(self) -> Iterator[str]:
        return (name for name in FACETS if name != "publisher" or self.publisher is None)

    def _divides(self, group: ChoiceGroup) -> bool:
        """Whether choosing in a group changes what is listed."""
        choices = group.choices
        is_same = len(choices) == 1 and choices[0].count == self.results.total
        return bool(choices) and (not is_same or choices[0].is_current)

    def _group(self, name: str) -> ChoiceGroup:
        values = self.results.facets.get(name, ())
        listed = [value for at, value in enumerate(values) if at < _VALUES or value.selected]
        choices = tuple(self._choice(name, value) for value in listed)
        return ChoiceGroup(_TITLES[name], choices, len(values) - len(listed))

    def _choice(self, name: str, value: Facet) -> Choice:
        href = self._toggled(name, value.value)
        return Choice(value.value, href, value.count, value.selected, _TITLES[name])

    def _toggled(self, name: str, value: str) -> str:
        """The address with a filter that is there taken away, and otherwise added."""
        if name == "fine_tunable":
            asked = None if self.query.values(name) == (value,) else value == "yes"
            return self._href(replace(self.query, fine_tunable=asked))
        there = self.query.values(name)
        values = tuple(v for v in there if v != value) if value in there else (*there, value)
        changed: dict[str, Any] = {name: values}
        return self._href(replace(self.query, **changed))

    def _to(self, page: int) -> str:
        return self._href(self.query, page)

    def _href(self, query: CatalogueQuery, page: int = 1) -> str:
        query = replace(query, page=page)
        parameters = urlencode(self._parameters(query))
        return f"{self.path}?{parameters}" if parameters else self.path

    def _parameters(self, query: CatalogueQuery) -> list[tuple[str, str]]:
        pairs = query_to_parameters(query)
        return [pair for pair in pairs if pair != ("publisher", self.publisher)]
