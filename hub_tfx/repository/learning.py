"""What the versions of a repository have learned, and which of them is in use."""

import logging
from dataclasses import dataclass

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import IN_REPOSITORY, ModuleHandle
from hub_tfx.repository.facts import Learned, facts_of
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import found

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learner:
    """A version that says what it has learned.

    Attributes:
      version: the version, as ``publisher/model/3``.
      learned: what it has learned.
    """

    version: str
    learned: Learned


def learner_of(handle: str, digest: str) -> Learner | None:
    """The version of a repository that a handle names, with what it has learned.

    None where the handle leads elsewhere, where the repository has no such version any more, or
    another one under its number, and where the version does not say: then all counts as new.

    Args:
      handle: such as ``repo+DIRECTORY//publisher/model/3``.
      digest: the digest that the module of the handle had.

    Raises:
      InputError: the repository cannot be read, or the facts of the version are damaged.
    """
    parsed = _in_repository(handle)
    if parsed is None or parsed.version is None:
        return None
    storage = open_storage(parsed.authority)
    version = found(storage, ModuleName.parse(parsed.path), parsed.version)
    if version is None or version.digest != digest:
        _log.warning("%s does not hold the module in use: what it has learned is unknown", handle)
        return None
    facts = facts_of(storage, version)
    return None if facts is None or not facts.learned else Learner(version.key, facts.learned)


def _in_repository(handle: str) -> ModuleHandle | None:
    if not handle.startswith(IN_REPOSITORY):
        return None
    try:
        return ModuleHandle.parse(handle)
    except HandleError:
        return None
