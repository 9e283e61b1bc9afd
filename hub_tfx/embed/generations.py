"""Generations of embeddings, found: each is what one run made, whole; the newest is the latest.

    <root>/
      3/                    a generation; never changes
        generation.json     its marker, created last: without it there is no generation
        claim.json          who began it, so that nobody else takes its number
        manifest-train.json, Split-train/…, digests-train/…    as they were in the output
      latest.json           the marker of the latest generation, for other programs
      -/embeddings.json     says that this is a root of embeddings, and of which layout

The latest generation is the one with the highest number, so that nothing moves it back: no clock,
no run that ends late, no program that dies. Only ``output.push`` writes here.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from hub_tfx._typed_json import from_plain, parse_object
from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.errors import ConfigError, DigestMismatchError, HandleError, InputError
from hub_tfx.repository.buckets import check_url
from hub_tfx.repository.names import is_version
from hub_tfx.repository.storage import Storage, open_storage

LAYOUT = 1
ROOT_MARKER = "-/embeddings.json"
MARKER, CLAIM = "generation.json", "claim.json"
LATEST = "latest.json"
GIVEN_UP = b'{"given_up": true}\n'
"""In the place of a marker: a later generation was complete first, so this one never is."""
DEFAULT_KEEP = 2
"""How many generations stay: the latest, and the one that readers may still be reading."""


@dataclass(frozen=True)
class Generation:
    """The embeddings of one run, as their marker says.

    Attributes:
      number: 1, 2, 3 ...
      module: handle and digest of the module that embedded.
      preprocessor: digest of the module before it; None without one.
      signature: name of the signature that was called.
      embedding_dim: size of the one column of vectors, if there is just one.
      rows: number of rows of all splits together.
      splits: names of the splits; none where the embeddings are not those of Examples.
      content: digest of what is in it: equal for equal embeddings.
      source: where the embeddings were copied from.
      run: id of the run that made them.
      who: who pushed them, as user@host.
      when: when, in UTC as ISO 8601 writes it.
    """

    number: int
    module: ModuleRef
    preprocessor: str | None
    signature: str
    embedding_dim: int | None
    rows: int
    splits: tuple[str, ...]
    content: str
    source: str
    run: str
    who: str
    when: str

    def to_json(self) -> str:
        """The marker: ``from_json(g.to_json().encode(), g.number) == g``."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes, number: int) -> "Generation":
        """The generation of a marker; raises ValueError for one that was not written by us."""
        generation: Generation = from_plain(cls, parse_object(text))
        if generation.number != number:
            raise ValueError(f"it is that of generation {generation.number}")
        return generation


@dataclass(frozen=True)
class PushedGeneration:
    """What a push came to.

    Attributes:
      generation: the latest generation now.
      created: whether this push made it; False where the latest one held the same embeddings
        already, and where a later one was complete first.
      uri: where its embeddings are.
    """

    generation: Generation
    created: bool
    uri: str


def latest_generation(root: str | os.PathLike[str]) -> Generation | None:
    """The latest generation of a root; None where there is none yet.

    Args:
      root: directory, ``s3://…`` or ``gs://…``.

    Raises:
      ConfigError: it is not the name of a place that can be a root.
      InputError: there is no root of embeddings.
      DigestMismatchError: the marker of the generation is damaged.
    """
    storage = open_root(root)
    check_root(storage)
    return newest(storage)


def list_generations(root: str | os.PathLike[str]) -> list[Generation]:
    """The generations of a root, the latest last; raises what ``latest_generation`` does."""
    storage = open_root(root)
    check_root(storage)
    found = (read_marker(storage, number) for number in numbers(storage))
    return [generation for generation in found if generation is not None]


def uri_of(root: str | os.PathLike[str], generation: Generation) -> str:
    """Where the embeddings of a generation are; ``hub_tfx.read_embeddings`` takes it."""
    return f"{open_root(root).url}/{generation.number}"


def check_keep(keep: int) -> None:
    """Raises ConfigError for a number of generations that cannot stay."""
    if keep < 1:
        raise ConfigError(f"keep is {keep}: the latest generation always stays, so use 1 or more")


def check_root_name(root: str) -> str:
    """Returns the name of a root as it is, of which nothing is asked.

    Raises:
      ConfigError: no root can be there.
    """
    if "://" in root and not root.startswith("file://"):
        with _of_a_root():
            check_url(root, "embeddings")
    else:
        open_root(root)
    return root


def open_root(root: str | os.PathLike[str]) -> Storage:
    """The place of a root, which need not be there; raises ConfigError where none can be."""
    with _of_a_root():
        return open_storage(root)


@contextmanager
def _of_a_root() -> Iterator[None]:
    """Tells what is wrong with the name of a root, which a repository's may be as well."""
    try:
        yield
    except HandleError as error:
        raise ConfigError(f"this is not a place for embeddings: {error}") from error


def is_root(storage: Storage) -> bool:
    """Whether a place is a root of embeddings."""
    return storage.read(ROOT_MARKER) is not None


def check_root(storage: Storage) -> None:
    """Raises InputError where there is no root, or one of a layout that we do not know."""
    text = storage.read(ROOT_MARKER)
    if text is None:
        raise InputError(
            f"{storage.url} does not hold generations of embeddings: check the path, or push the "
            "first one to it"
        )
    try:
        number = parse_object(text).get("layout")
    except ValueError:
        number = None
    if number != LAYOUT:
        raise InputError(
            f"{storage.url} holds generations in layout {number!r}, not {LAYOUT}: use the hub_tfx "
            "that pushed to it"
        )


def numbers(storage: Storage) -> list[int]:
    """The numbers that are taken, also by generations that are not complete, in order."""
    return sorted(int(name) for name in storage.names("") if is_version(name))


def newest(storage: Storage) -> Generation | None:
    """The complete generation with the highest number; None where there is none yet."""
    for number in reversed(numbers(storage)):
        if (generation := read_marker(storage, number)) is not None:
            return generation
    return None


def read_marker(storage: Storage, number: int) -> Generation | None:
    """The generation of a number; None where it is not complete, or was given up.

    Raises:
      DigestMismatchError: its marker is damaged.
    """
    text = storage.read(marker_key(number))
    if text is None or text == GIVEN_UP:
        return None
    try:
        return Generation.from_json(text, number)
    except ValueError as error:
        raise DigestMismatchError(
            f"{storage.url}/{marker_key(number)} is damaged ({error}): remove the folder {number} "
            "and push its embeddings again"
        ) from error


def marker_key(number: int) -> str:
    return f"{number}/{MARKER}"
