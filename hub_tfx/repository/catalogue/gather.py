"""What is indexed of a module: read from the repository as one listing of it says that it is."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from typing import TypeVar, cast

from hub_tfx.errors import DigestMismatchError, HubTfxError, TransientFetchError
from hub_tfx.repository import layout, records
from hub_tfx.repository.card import Card, parse_card
from hub_tfx.repository.catalogue.entries import CatalogueEntry
from hub_tfx.repository.facts import ModuleFacts
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import aliases, card_key, numbers, read_version, yanked

_T = TypeVar("_T")
_OF_CARD = ("summary", "task", "license", "language", "owners")
_OF_FACTS = ("format", "fine_tunable", "embedding_dim")
_MAX_BYTES = 64 << 20
"""Of a card or of facts, which list files; more is not read."""


@dataclass(frozen=True)
class Row:
    """A version in the index.

    Attributes:
      number: 1, 2, 3 ...
      stamp: stamp of its marker when that was read.
      when: when it was published.
      yanked: whether it is yanked now.
    """

    number: int
    stamp: str
    when: str
    yanked: bool


@dataclass(frozen=True)
class Gathered:
    """A module as it is to be in the index.

    Attributes:
      entry: what searches give.
      rows: its versions.
      labels: short words that it is found by, besides its name and summary.
      body: the Markdown of its card.
      problems: what could not be read, in lines that name it.
    """

    entry: CatalogueEntry
    rows: tuple[Row, ...]
    labels: str
    body: str
    problems: tuple[str, ...]


def gather(
    storage: Storage, name: ModuleName, stamps: Mapping[str, str], known: Mapping[int, Row]
) -> Gathered:
    """Reads a module; of the versions that are known already, nothing but the newest.

    What is damaged in a version is told and left out, since the others are as good as before.

    Args:
      storage: the place of the repository.
      name: name of the module.
      stamps: the keys of its markers and records, with their stamps.
      known: number -> what was read of a version before.

    Raises:
      HubTfxError: nothing is known of it then, such as where no version can be read.
    """
    listing = cast("Storage", _Listing(storage, stamps))
    problems = list[str]()
    rows = _rows(listing, name, stamps, known, problems)
    if not rows:
        raise DigestMismatchError("; ".join(problems))
    shown = [row for row in rows if not row.yanked]
    row = (shown or rows)[-1]
    version = read_version(listing, name, row.number)
    card = _or_told(lambda: _card(listing, version), problems)
    facts = _or_told(lambda: _facts(listing, version), problems)
    entry = CatalogueEntry(
        handle=str(name),
        version=version.number,
        when=row.when,
        digest=version.digest,
        size_bytes=version.size_bytes,
        versions=len(rows),
        yanked=not shown,
        aliases=aliases(listing, name),
        variants=tuple(sorted({entry.path.split("/")[1] for entry in version.variants})),
        **{name: getattr(card, name) for name in _OF_CARD if card},
        **{name: getattr(facts, name) for name in _OF_FACTS if facts},
        blessed=facts.blessing.blessed if facts and facts.blessing else None,
    )
    return Gathered(entry, rows, _labels(entry, card), card.body if card else "", tuple(problems))


def _rows(
    listing: Storage,
    name: ModuleName,
    stamps: Mapping[str, str],
    known: Mapping[int, Row],
    problems: list[str],
) -> tuple[Row, ...]:
    """The versions that can be read, by number."""
    hidden, rows = yanked(listing, name), list[Row]()
    for number in numbers(listing, name):
        stamp = stamps[f"{layout.version_key(name, number)}/{layout.MARKER}"]
        row = known.get(number)
        if row is None or row.stamp != stamp:
            when = _or_told(partial(_published, listing, name, number), problems)
            row = None if when is None else Row(number, stamp, when, False)
        if row is not None:
            rows.append(replace(row, yanked=number in hidden))
    return tuple(rows)


def _or_told(read: Callable[[], _T | None], problems: list[str]) -> _T | None:
    """What is read; None, and what is wrong among the problems, where it is damaged."""
    try:
        return read()
    except TransientFetchError:  # It may be as good as ever.
        raise
    except HubTfxError as error:
        problems.append(line_of(error))
        return None


def _labels(entry: CatalogueEntry, card: Card | None) -> str:
    words = [*entry.task, entry.format, entry.license, *entry.language, *entry.variants]
    words += entry.aliases
    if card is not None:
        words += [*card.owners, *card.datasets, *card.architecture, *card.collections]
    return "\n".join(filter(None, words))


def _card(storage: Storage, version: Version) -> Card:
    key = card_key(version.name, version.number)
    record = records.newest(storage, key)
    if record is not None:
        return parse_card(str(record.value("card", str)), key)
    text = _beside(storage, version, layout.CARD)
    if text is None:
        raise DigestMismatchError(f"{version.key} has no card: see `hub-tfx repo verify`")
    return parse_card(text, f"{version.key}/{layout.CARD}")


def _facts(storage: Storage, version: Version) -> ModuleFacts | None:
    text = _beside(storage, version, layout.FACTS)
    return None if text is None else ModuleFacts.from_json(text, f"{version.key}/{layout.FACTS}")


def _beside(storage: Storage, version: Version, path: str) -> bytes | None:
    """A file beside a module, which is what the marker says; None where it has none.

    In a bucket a version is complete with its marker, and such files are copied there from the
    blobs a moment later.
    """
    entry = version.entry(path)
    if entry is None:
        return None
    if entry.size_bytes > _MAX_BYTES:
        raise DigestMismatchError(f"{version.key}/{path} has {entry.size_bytes} bytes: too many")
    text = storage.read(f"{version.key}/{path}")
    if text is None:
        text = storage.read(layout.blob_key(entry.sha256))
    if text is None or hashlib.sha256(text).hexdigest() != entry.sha256:
        what = "is missing" if text is None else "is not what was published"
        raise DigestMismatchError(f"{version.key}/{path} {what}: see `hub-tfx repo verify`")
    return text


def _published(storage: Storage, name: ModuleName, number: int) -> str:
    """When a version was published, in one form, so that texts sort as times do."""
    version = read_version(storage, name, number)
    try:
        when = datetime.fromisoformat(version.when.removesuffix("Z"))
        if when.tzinfo is None:
            when = when.replace(tzinfo=timezone.utc)
        return when.astimezone(timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError) as error:
        raise DigestMismatchError(
            f"{version.key}/{layout.MARKER} is damaged: {version.when[:60]!r} is not a time"
        ) from error


def line_of(error: HubTfxError) -> str:
    """The first line of an error, as one line."""
    return " ".join(error.lines[0].split())


class _Listing:
    """A repository as it was listed: files are read, and folders hold what the listing says.

    So what is read is what the listing promised, and no folder is listed twice.
    """

    def __init__(self, storage: Storage, keys: Mapping[str, str]):
        """The storage, and the keys that it listed."""
        self._storage, self.url = storage, storage.url
        self._names = defaultdict[str, set[str]](set)
        for key in keys:
            while key:
                key, _, name = key.rpartition("/")
                self._names[key].add(name)

    def read(self, key: str) -> bytes | None:
        return self._storage.read(key)

    def names(self, folder: str) -> list[str]:
        return sorted(self._names.get(folder, ()))
