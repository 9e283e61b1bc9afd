"""What may change in a repository: aliases, yanks and cards. The modules never do."""

import hashlib
import os
from typing import Any

from hub_tfx.errors import ConfigError
from hub_tfx.repository import records
from hub_tfx.repository.card import read_card
from hub_tfx.repository.names import ModuleName, check_settable
from hub_tfx.repository.records import Record
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import (
    alias_key,
    card_key,
    card_text,
    read_version,
    yank_key,
    yank_of,
)


def set_alias(
    storage: Storage, name: ModuleName, alias: str, number: int, why: str, who: str | None = None
) -> Record:
    """Has an alias stand for a version from now on; where it does already, nothing is written.

    Raises:
      HandleError: the alias breaks a rule.
      ConfigError: the alias cannot be set, or the version is yanked.
      FetchError: there is no such version.
    """
    check_settable(alias)
    read_version(storage, name, number)
    if hidden := yank_of(storage, name, number):
        raise ConfigError(
            f"{name}/{number} is yanked ({hidden.why}): name a version that is not, or take the "
            "yank back"
        )

    def change(before: Record | None) -> dict[str, Any] | None:
        now = before.value("to", int) if before else None
        return None if now == number else {"from": now, "to": number}

    record = records.append(storage, alias_key(name, alias), change, why, who)
    assert record is not None  # None is left only where there was nothing to change.
    return record


def move_alias(
    storage: Storage,
    name: ModuleName,
    alias: str,
    number: int,
    after: int | None,
    why: str,
    who: str | None = None,
) -> bool:
    """Has an alias stand for a version, if nobody else has moved it.

    Args:
      storage: the place of the repository.
      name: name of the module.
      alias: the alias.
      number: number of the version.
      after: the number that the alias stands for so far; None where there is no such alias.
      why: the reason.
      who: who moves it; the user of this process if None.

    Returns:
      Whether the alias stands for the version now; whoever moved it there.
    """

    def change(before: Record | None) -> dict[str, Any] | None:
        now = before.value("to", int) if before else None
        return {"from": now, "to": number} if now == after != number else None

    record = records.append(storage, alias_key(name, alias), change, why, who)
    return record is not None and record.value("to", int) == number


def set_yanked(
    storage: Storage,
    name: ModuleName,
    number: int,
    why: str,
    *,
    yanked: bool = True,
    who: str | None = None,
) -> Record | None:
    """Hides a version from ``latest``, or shows it again; it is never deleted.

    Raises:
      FetchError: there is no such version.
    """
    read_version(storage, name, number)

    def change(before: Record | None) -> dict[str, Any] | None:
        now = before is not None and before.value("yanked", bool)
        return None if now == yanked else {"yanked": yanked}

    return records.append(storage, yank_key(name, number), change, why, who)


def correct_card(
    storage: Storage,
    name: ModuleName,
    number: int,
    card: str | os.PathLike[str],
    why: str,
    who: str | None = None,
) -> Record:
    """Gives a version another card, as a revision; the module and earlier cards stay as they are.

    Raises:
      CardError: the card has errors.
      FetchError: there is no such version.
    """
    text = read_card(card).source
    version = read_version(storage, name, number)

    def change(_: Record | None) -> dict[str, Any] | None:
        if card_text(storage, version) == text:
            return None
        return {"card": text.decode(), "sha256": hashlib.sha256(text).hexdigest()}

    record = records.append(storage, card_key(name, number), change, why, who)
    return record or Record(0, version.who, version.when, "published", {})
