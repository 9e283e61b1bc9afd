"""The page of a version that is withdrawn: why, since when, and what to use."""

from dataclasses import dataclass

from hub_tfx.repository.layout import Version
from hub_tfx.repository.records import Record
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import aliases_of, latest


@dataclass(frozen=True)
class WithdrawnPage:
    """What the page and its twin hold.

    Attributes:
      name: ``publisher/model``.
      version: number of the version.
      digest: digest of the module, by which whoever has it can tell.
      why, who, when: why it was withdrawn, by whom, and when.
      published: when it had been published.
      latest: the newest version that is not withdrawn; None where all are.
      aliases: aliases that still stand for it.
    """

    name: str
    version: int
    digest: str
    why: str
    who: str
    when: str
    published: str
    latest: int | None = None
    aliases: tuple[str, ...] = ()


def withdrawn_page(storage: Storage, version: Version, yank: Record) -> WithdrawnPage:
    """The page of a version with the record that withdraws it."""
    return WithdrawnPage(
        name=str(version.name),
        version=version.number,
        digest=version.digest,
        why=yank.why,
        who=yank.who,
        when=yank.when,
        published=version.when,
        latest=latest(storage, version.name),
        aliases=tuple(aliases_of(storage, version.name, version.number)),
    )
