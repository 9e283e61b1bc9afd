"""What tests of repositories share: a card, and modules that are published in milliseconds."""

import hashlib
from pathlib import Path
from typing import Any

from cards import CARD
from cards import write_card as card

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.testing import minimal_module

__all__ = ["CARD", "card", "module", "published"]


def module(path: Path, dim: int = 4, weights: bytes = b"no variables") -> ResolvedModule:
    """A tiny module; other weights make other bytes."""
    if not path.exists():
        minimal_module(path, dim)
    (path / "variables" / "variables.index").write_bytes(weights)
    return ResolvedModule.of_directory(path)


def published(
    folder: Path, repository: Path | str, weights: bytes, name: str = "acme/words", **more: Any
) -> PublishedVersion:
    """Publishes a module with these weights from a directory of its own."""
    made = module(folder / f"module-{hashlib.sha256(weights).hexdigest()[:12]}", weights=weights)
    return publish(made, repository, name, card=card(folder), **more)
