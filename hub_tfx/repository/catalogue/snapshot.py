"""Facets and orders of the whole catalogue in memory: a bit a module, in numbers of any length.

Ten thousand modules are 1,250 bytes a value, and counting those that several filters have in common
takes a microsecond, where SQL takes milliseconds for each facet of each page.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from sys import intern

from hub_tfx._text import hint, quoted
from hub_tfx.errors import ConfigError
from hub_tfx.repository.catalogue.database import generation
from hub_tfx.repository.catalogue.entries import (
    FACETS,
    CatalogueEntry,
    CatalogueQuery,
    Facet,
    Publisher,
)
from hub_tfx.repository.catalogue.nearest import nearest_handles, pairs_mask
from hub_tfx.repository.vocabulary import TASKS

_MAX_FACET_VALUES = 100
_MAX_CHOICES = 20
_MAX_IN_QUERY = 500
_FORMATS = ("tf1_hub", "saved_model")
_CHECKED = tuple(facet for facet in FACETS if facet != "fine_tunable")
_ALWAYS: Mapping[str, tuple[str, ...]] = {"task": TASKS, "format": _FORMATS}
"""Values that may be asked for though no module has them yet."""


@dataclass(frozen=True)
class Light:
    """What is held of a module in memory; its row in the file never gets another entry.

    Attributes:
      handle, when, size_bytes, yanked: as its entry has them.
      values: (facet, value), all that it has.
    """

    handle: str
    when: str
    size_bytes: int
    yanked: bool
    values: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, entry: CatalogueEntry) -> "Light":
        # Values are the same for many modules, and are held once.
        values = ((facet, intern(value)) for facet in FACETS for value in entry.values(facet))
        return cls(entry.handle, entry.when, entry.size_bytes, entry.yanked, tuple(values))


@dataclass(frozen=True)
class Snapshot:
    """What is known of all modules at one state of the index; the n-th bit is the n-th module.

    The newest module comes first, since that is the order in which most pages list them: the first
    bits are a page then.

    Attributes:
      generation: the state.
      ids: id of each module, the newest first, and by handle among equally new ones.
      lights: the same modules.
      shown: the modules that have a version that is not yanked.
      facets: facet -> value -> the modules that have it.
      orders: other orders -> the modules in this order.
    """

    generation: int
    ids: Sequence[int]
    lights: Sequence[Light]
    shown: int
    facets: Mapping[str, Mapping[str, int]]
    orders: Mapping[str, Sequence[int]]

    @cached_property
    def everything(self) -> int:
        return (1 << len(self.ids)) - 1

    @cached_property
    def places(self) -> Mapping[int, int]:
        """Id -> number of its bit."""
        return {id_: place for place, id_ in enumerate(self.ids)}

    @cached_property
    def _handles(self) -> Sequence[tuple[str, int]]:
        shown = (light.handle for light in self.lights if not light.yanked)
        return [(handle, pairs_mask(handle)) for handle in sorted(shown)]

    def among(self, query: CatalogueQuery, without: str = "") -> int:
        """The modules that all filters of a query let through, but for those of one facet."""
        found = self.everything if query.yanked else self.shown
        for facet in FACETS:
            if facet != without and (wanted := query.values(facet)):
                values = self.facets[facet]
                found &= _union(values.get(value, 0) for value in wanted)
        return found

    def check(self, query: CatalogueQuery) -> None:
        """Raises ConfigError for a value to filter by that nothing in the catalogue has."""
        for facet in _CHECKED:
            there, always = self.facets[facet], _ALWAYS.get(facet, ())
            for value in query.values(facet):
                if value not in there and value not in always:
                    raise ConfigError(_unknown(facet, value, there or always))

    def counted(self, query: CatalogueQuery, matching: int) -> dict[str, tuple[Facet, ...]]:
        """The values of each facet, among the modules that the words of a query match."""
        counted = {}
        for facet in FACETS:
            among, wanted = self.among(query, without=facet) & matching, query.values(facet)
            counts = ((v, (among & m).bit_count()) for v, m in self.facets[facet].items())
            found = [Facet(v, count, v in wanted) for v, count in counts if count or v in wanted]
            found += [Facet(v, 0, True) for v in wanted if v not in self.facets[facet]]
            found.sort(key=lambda facet: (not facet.selected, -facet.count, facet.value))
            most = found[:_MAX_FACET_VALUES]
            counted[facet] = tuple(sorted(most, key=lambda facet: (-facet.count, facet.value)))
        return counted

    def nearest(self, text: str, limit: int) -> list[str]:
        """Handles of modules that are shown, those most like a text first."""
        return nearest_handles(text, self._handles, limit)

    def publishers(self) -> Iterator[Publisher]:
        """Every publisher, by name."""
        for name in sorted(self.facets["publisher"]):
            yield self.publisher(name)

    def publisher(self, name: str) -> Publisher:
        """A publisher that has a module."""
        shown = self.facets["publisher"][name] & self.shown
        dates = [self.lights[place].when for place in bits(shown)]
        return Publisher(name, len(dates), max(dates, default=""))


def take_snapshot(connection: sqlite3.Connection, before: Snapshot | None) -> Snapshot:
    """The state of the index that a transaction sees.

    Args:
      connection: what is in the transaction.
      before: an earlier state, so that only what has changed is read.
    """
    known = dict(zip(before.ids, before.lights, strict=True)) if before else {}
    ids = [row[0] for row in connection.execute("SELECT id FROM modules ORDER BY handle")]
    known |= _lights(connection, [id_ for id_ in ids if id_ not in known])
    by_name = {id_: place for place, id_ in enumerate(ids)}
    ids.sort(key=lambda id_: known[id_].when, reverse=True)
    lights, places = [known[id_] for id_ in ids], range(len(ids))
    facets, shown = _marked(lights)
    return Snapshot(
        generation=generation(connection),
        ids=ids,
        lights=lights,
        shown=shown,
        facets=facets,
        orders={
            "name": sorted(places, key=lambda at: by_name[ids[at]]),
            "size": sorted(places, key=lambda at: (lights[at].size_bytes, by_name[ids[at]])),
        },
    )


def _lights(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, Light]:
    if len(ids) > _MAX_IN_QUERY:
        rows = connection.execute("SELECT id, entry FROM modules")
    else:
        marks = ", ".join("?" * len(ids))
        rows = connection.execute(f"SELECT id, entry FROM modules WHERE id IN ({marks})", ids)
    return {id_: Light.of(_entry(entry)) for id_, entry in rows}


def _marked(lights: Sequence[Light]) -> tuple[dict[str, dict[str, int]], int]:
    """Facet -> value -> the modules that have it, and the modules that are shown."""
    width = width_of(lights)
    marked: dict[tuple[str, str], bytearray] = {}
    shown = bytearray(width)
    for place, light in enumerate(lights):
        byte, bit = place >> 3, 1 << (place & 7)
        if not light.yanked:
            shown[byte] |= bit
        for pair in light.values:
            if (found := marked.get(pair)) is None:
                found = marked[pair] = bytearray(width)
            found[byte] |= bit
    facets: dict[str, dict[str, int]] = {facet: {} for facet in FACETS}
    for (facet, value), found in marked.items():
        facets[facet][value] = number_of(found)
    return facets, number_of(shown)


@lru_cache(maxsize=2048)
def entry_of(text: str) -> CatalogueEntry:
    """The entry of its JSON in the index; those of the pages that are asked for are remembered."""
    return _entry(text)


def _entry(text: str) -> CatalogueEntry:
    document = json.loads(text)
    lists = {name: tuple(value) for name, value in document.items() if isinstance(value, list)}
    return CatalogueEntry(**{**document, **lists})


def width_of(modules: Sequence[object]) -> int:
    """How many bytes a bit for each module takes."""
    return len(modules) // 8 + 1


def number_of(bytes_of_bits: bytearray) -> int:
    return int.from_bytes(bytes_of_bits, "little")


def bits(number: int) -> Iterator[int]:
    """Places of the bits that are set, in order."""
    for byte, value in enumerate(number.to_bytes(number.bit_length() // 8 + 1, "little")):
        if value:
            yield from (byte * 8 + bit for bit in range(8) if value >> bit & 1)


def page_of(
    found: int, order: Sequence[int] | None, width: int, first: int, count: int
) -> list[int]:
    """A page of the modules that were found.

    Args:
      found: their bits.
      order: all of them, and perhaps others, in order; None for the newest first.
      width: how many bytes all bits take.
      first: how many modules are on the pages before.
      count: how many modules a page has.
    """
    if order is None:
        return list(islice(bits(found), first, first + count))
    is_found = found.to_bytes(width, "little")
    those = (place for place in order if is_found[place >> 3] >> (place & 7) & 1)
    return list(islice(those, first, first + count))


def _union(masks: Iterable[int]) -> int:
    found = 0
    for mask in masks:
        found |= mask
    return found


def _unknown(facet: str, value: str, choices: Iterable[str]) -> str:
    known = sorted(choices)
    if not known:
        return f"no module has a {facet} yet: leave {facet} {quoted(value)} out"
    listed = ", ".join(known[:_MAX_CHOICES]) + (", …" if len(known) > _MAX_CHOICES else "")
    [near] = nearest_handles(value, [(choice, pairs_mask(choice)) for choice in known], 1) or [""]
    return f"no module has the {facet} {quoted(value)}: use one of {listed}{hint(near)}"
