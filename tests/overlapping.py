"""Runs that overlap, without all that runs do before they publish."""

from pathlib import Path
from typing import Any

import pytest
from published import card, module

from hub_tfx.repository import once
from hub_tfx.repository.facts import Learned, Origin, module_facts
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.once import Publication, publish_once
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import aliases, numbers

NAME = ModuleName("acme", "words")


class Runs:
    """Runs that have trained a module each, and publish to one repository."""

    def __init__(self, folder: Path, repository: Path | str | None = None):
        self.repository = str(repository or folder / "modules")
        self.storage = open_storage(self.repository)
        self.card = card(folder)
        self.modules = {
            name: module(folder / name, weights=name.encode()) for name in ("base", "a", "b", "c")
        }

    def publish(
        self,
        name: str,
        *,
        spans: str = "1",
        baseline: str | None = "base",
        run: str | None = None,
        **more: Any,
    ) -> Publication:
        made = self.modules[name]
        facts = module_facts(
            made,
            learned=Learned(dict.fromkeys(spans, "f"), "m"),
            parent=Origin(self.modules["base"].digest),
            run=run or f"run-{name}",
        )
        against = None if baseline is None else self.modules[baseline]
        options = {"aliases": ["stable"], "card": self.card, **more}
        origin = None if against is None else Origin(against.digest, f"/made/{baseline}")
        return publish_once(
            made, self.repository, str(NAME), facts=facts, baseline=origin, **options
        )

    def without_alias(self, name: str, **more: Any) -> None:
        """What a run leaves that dies before it moves the alias."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(once, "move_alias", _die)
            with pytest.raises(KeyboardInterrupt):
                self.publish(name, **more)

    @property
    def numbers(self) -> list[int]:
        return numbers(self.storage, NAME)

    @property
    def stable(self) -> int | None:
        return aliases(self.storage, NAME).get("stable")


def _die(*_: Any) -> bool:
    raise KeyboardInterrupt
