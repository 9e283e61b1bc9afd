"""A page of several parts, of which one may be out of reach while the others are shown."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from hub_tfx.errors import HubTfxError

_Part = TypeVar("_Part")


@dataclass(frozen=True)
class Missing:
    """A part that cannot be shown now.

    Attributes:
      what: the part, such as ``card``.
      why: why not, in one line.
    """

    what: str
    why: str


@dataclass
class Parts:
    """Reads the parts of a page one by one, and keeps what could not be read.

    Attributes:
      repository: name of the repository, which may tell of somebody's disk and is not shown.
    """

    repository: str
    missing: list[Missing] = field(default_factory=list)

    def read(self, what: str, read: Callable[[], _Part], otherwise: _Part) -> _Part:
        """What a function gives; ``otherwise``, and a note, where it fails."""
        try:
            return read()
        except HubTfxError as error:
            self.missing.append(Missing(what, without_place(error, self.repository)))
            return otherwise


def without_place(error: HubTfxError, repository: str) -> str:
    """What an error says, in a line that does not say where on a disk the repository is."""
    return " ".join(str(error).replace(repository, "the repository").split())
