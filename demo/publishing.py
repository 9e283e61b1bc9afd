"""What the demo publishes: versions of its module, each of which had to be better than the last."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from demo.console import console

NAME, ALIAS = "demo/docstrings", "stable"
_CARD = Path(__file__).with_name("card.md")


def gate(label: str, split: str) -> Any:
    """Judges a module by how well its vectors tell the label, on a split that no training reads."""
    from hub_tfx.evaluate.config import EvaluateConfig
    from hub_tfx_pipelines.publishing import Gate

    return Gate(config=EvaluateConfig(label=label, probe="ridge"), splits=(split,))


def publication(repository: Path) -> Any:
    """Publishes what is blessed, and lets the alias stand for it."""
    from hub_tfx.repository.card import read_card
    from hub_tfx_pipelines.publishing import Publication

    return Publication(
        repository=str(repository), name=NAME, card=read_card(_CARD), aliases=(ALIAS,)
    )


def show_versions(repository: Path, runs: Mapping[str, Mapping[str, Any]]) -> None:
    """A table of the runs: what was judged, why, and which version it became."""
    table = Table("run", "verdict", "version", "why", box=None, header_style="bold")
    for name, result in runs.items():
        published = result.get("published", "")
        table.add_row(
            name, result["verdict"], published.rpartition("/")[2] or "-", result["reason"]
        )
    console.print(f"\n[bold]Versions of {NAME}[/bold]")
    console.print(table)
    for version in _versions(repository):
        console.print(f"  {version}", markup=False)


def _versions(repository: Path) -> Sequence[str]:
    from hub_tfx.repository.names import ModuleName
    from hub_tfx.repository.storage import open_storage
    from hub_tfx.repository.versions import aliases_of, numbers, read_version

    storage, name = open_storage(repository), ModuleName.parse(NAME)
    found = [read_version(storage, name, number) for number in numbers(storage, name)]
    return [
        f"repo+{storage.url}//{v.key}  digest {v.digest[:12]}…  "
        + " ".join(f"@{alias}" for alias in aliases_of(storage, name, v.number))
        for v in found
    ]
