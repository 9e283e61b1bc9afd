"""Runs that overlap, and runs that died: one version each, and the alias stands for it."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from published import card, module

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository import once
from hub_tfx.repository.changes import set_alias, set_yanked
from hub_tfx.repository.facts import Learned, Origin, module_facts
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.once import Publication, publish_once
from hub_tfx.repository.publish import publish
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import aliases, numbers

NAME = ModuleName("acme", "words")
ROUNDS = 50
Run = Callable[..., Publication]


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
            learned=Learned({number: "f" for number in spans}, "m"),
            parent=Origin(self.modules["base"].digest),
            run=run or f"run-{name}",
        )
        against = None if baseline is None else self.modules[baseline]
        options = {"aliases": ["stable"], "card": self.card, **more}
        origin = None if against is None else Origin(against.digest, f"/made/{baseline}")
        return publish_once(
            made, self.repository, str(NAME), facts=facts, baseline=origin, **options
        )

    def without_alias(self, name: str, **more: Any) -> int:
        """What a run leaves that dies before it moves the alias; the number of the version."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(once, "move_alias", _die)
            with pytest.raises(KeyboardInterrupt):
                self.publish(name, **more)
        return self.numbers[-1]

    @property
    def numbers(self) -> list[int]:
        return numbers(self.storage, NAME)

    @property
    def stable(self) -> int | None:
        return aliases(self.storage, NAME).get("stable")


def _die(*_: Any) -> bool:
    raise KeyboardInterrupt


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_of_two_runs_that_learned_the_same_the_first_publishes(runs: Runs) -> None:
    first = runs.publish("a")
    assert (first.outcome, first.version.number, runs.stable) == ("published", 1, 1)
    assert first.handle == f"repo+{runs.storage.url}//acme/words/1"
    second = runs.publish("b")
    assert (second.outcome, second.version.key) == ("already published", "acme/words/1")
    assert second.why == "acme/words/1 was published from the same decision by the run run-a"
    assert second.is_final
    assert runs.numbers == [1]


def test_the_same_bytes_are_published_once_and_by_one_run(runs: Runs) -> None:
    assert runs.publish("a", run="x").outcome == "published"
    assert runs.publish("a", run="x").outcome == "published"  # The same run, tried again.
    other = runs.publish("a", run="y")
    assert (other.outcome, runs.numbers) == ("already published", [1])
    assert other.why == "acme/words/1 has the same bytes, and was published by the run x"


def test_a_verdict_about_what_is_not_in_use_any_more_is_not_enough(runs: Runs) -> None:
    runs.publish("a")
    outdated = runs.publish("b", spans="12")
    assert (outdated.outcome, outdated.version.number) == ("outdated", 1)
    assert outdated.why == (
        "the verdict is about another baseline: it was judged against /made/base, and "
        "acme/words/1 is in use by now"
    )
    assert not outdated.is_final
    assert runs.publish("b", spans="12", baseline="a").outcome == "published"
    assert (runs.numbers, runs.stable) == ([1, 2], 2)


def test_without_a_baseline_it_does_not_matter_what_is_in_use(runs: Runs) -> None:
    runs.publish("a")
    assert runs.publish("b", spans="12", baseline=None).outcome == "published"
    assert runs.stable == 2


def test_without_an_alias_the_newest_version_is_in_use(runs: Runs) -> None:
    assert runs.publish("a", aliases=[]).outcome == "published"
    assert runs.publish("b", spans="12", aliases=[]).outcome == "outdated"
    assert runs.publish("b", spans="12", baseline="a", aliases=[]).outcome == "published"
    assert (runs.numbers, runs.stable) == ([1, 2], None)


@pytest.mark.parametrize(
    ("next_one", "outcome"), [("a", "already published"), ("b", "already published")]
)
def test_the_next_run_moves_the_alias_for_one_that_died(
    runs: Runs, next_one: str, outcome: str
) -> None:
    """Whether it has trained again, or has the module from the cache."""
    runs.publish("base", spans="0", aliases=["stable", "newest"])
    assert runs.without_alias("a") == 2
    assert runs.stable == 1
    continued = runs.publish(next_one, run="later")
    assert (continued.outcome, continued.version.number) == (outcome, 2)
    assert (runs.numbers, runs.stable) == ([1, 2], 2)


def test_a_version_that_died_before_its_alias_does_not_stop_what_learned_more(runs: Runs) -> None:
    runs.publish("base", spans="0")
    runs.without_alias("a")
    more = runs.publish("b", spans="12")
    assert (more.outcome, more.version.number, runs.stable) == ("published", 3, 3)


def test_an_alias_that_somebody_moves_meanwhile_stays_where_it_is(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.publish("base", spans="0")
    runs.without_alias("a")
    move = once.move_alias

    def late(*args: Any) -> bool:
        set_alias(runs.storage, NAME, "stable", 2, "by hand")
        return move(*args)

    monkeypatch.setattr(once, "move_alias", late)
    overtaken = runs.publish("b", spans="12")
    assert (overtaken.outcome, overtaken.version.number, runs.stable) == ("outdated", 2, 2)
    assert overtaken.why.endswith("acme/words/2 is in use by now, and acme/words/3 is not")


def test_what_was_yanked_is_not_in_the_way_and_is_not_put_in_use(runs: Runs) -> None:
    runs.publish("base", spans="0")
    runs.publish("a")
    set_alias(runs.storage, NAME, "stable", 1, "back")
    set_yanked(runs.storage, NAME, 2, "it leaks")
    again = runs.publish("a")
    assert (again.outcome, again.version.number) == ("yanked", 1)
    assert again.why == "acme/words/2 has the same bytes, and is yanked: it leaks"
    assert runs.publish("b").outcome == "published"
    assert (runs.numbers, runs.stable) == ([1, 2, 3], 3)


def _at_once(runs: Runs, spans: tuple[str, str]) -> list[str]:
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda name, of: runs.publish(name, spans=of), ("a", "b"), spans)
        return sorted(publication.outcome for publication in made)


@pytest.mark.parametrize(
    ("spans", "loser"), [(("1", "1"), "already published"), (("1", "12"), "outdated")]
)
def test_two_publications_at_once_make_one_version_fifty_times(
    tmp_path: Path, spans: tuple[str, str], loser: str
) -> None:
    runs = Runs(tmp_path)
    for number in range(ROUNDS):
        runs.__init__(tmp_path, tmp_path / f"modules-{number}")
        runs.publish("base", spans="0", aliases=["stable"])
        assert _at_once(runs, spans) == sorted(["published", loser])
        if loser == "already published":
            assert runs.numbers == [1, 2]
        assert runs.stable == runs.numbers[-1]
