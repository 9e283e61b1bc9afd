"""Runs that overlap, and runs that died: one version each, and the alias stands for it."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from overlapping import NAME, Runs

from hub_tfx.repository import once
from hub_tfx.repository.changes import set_alias, set_yanked
from hub_tfx.repository.publish import publish
from hub_tfx.repository.succession import finish, settle
from hub_tfx.repository.verify import verify
from hub_tfx.repository.versions import aliases, in_use

ROUNDS = 50


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
        "the module was judged against /made/base, and acme/words/1 is in use by now"
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


@pytest.mark.parametrize("trained", ["a", "b"], ids=["from the cache", "again"])
def test_the_next_run_moves_the_alias_for_one_that_died(runs: Runs, trained: str) -> None:
    runs.publish("base", spans="0")
    runs.without_alias("a")
    assert (runs.numbers, runs.stable) == ([1, 2], 1)
    continued = runs.publish(trained, run="later")
    assert (continued.outcome, continued.version.number) == ("already published", 2)
    assert (runs.numbers, runs.stable) == ([1, 2], 2)


@pytest.mark.parametrize("trained", ["a", "b"], ids=["from the cache", "again"])
def test_so_it_does_for_the_first_version_which_has_no_alias_yet(runs: Runs, trained: str) -> None:
    runs.without_alias("a")
    assert (runs.numbers, runs.stable) == ([1], None)
    assert runs.publish(trained, run="later").outcome == "already published"
    assert (runs.numbers, runs.stable) == ([1], 1)


def test_a_version_whose_run_died_comes_before_one_that_has_learned_more(runs: Runs) -> None:
    runs.publish("base", spans="0")
    runs.without_alias("a")
    more = runs.publish("b", spans="12")
    assert (more.outcome, more.version.number, runs.stable) == ("outdated", 2, 2)
    assert runs.publish("c", spans="12", baseline="a").version.number == 3
    assert (runs.numbers, runs.stable) == ([1, 2, 3], 3)


def test_what_was_published_for_another_alias_or_taken_back_is_not_put_in_use(runs: Runs) -> None:
    runs.publish("base", spans="0")
    set_alias(runs.storage, NAME, "tried", 1, "by hand")
    runs.without_alias("a", aliases=["tried"])
    runs.publish("b", spans="12")
    assert (runs.numbers, runs.stable) == ([1, 2, 3], 3)
    set_alias(runs.storage, NAME, "stable", 1, "back")
    runs.publish("c", spans="123")
    assert (runs.numbers, runs.stable) == ([1, 2, 3, 4], 4)


def test_of_several_aliases_those_are_added_that_a_dead_run_did_not_get_to(runs: Runs) -> None:
    runs.publish("a", aliases=["stable"])
    settle(runs.storage, NAME, ["stable", "newest"], "settled")
    runs.publish("a", aliases=["stable", "newest"])
    assert aliases(runs.storage, NAME) == {"newest": 1, "stable": 1}
    runs.publish("b", spans="12", baseline="a", aliases=["stable", "newest"])
    set_alias(runs.storage, NAME, "newest", 1, "by hand")
    runs.publish("b", spans="12", baseline="a", aliases=["stable", "newest"])
    assert aliases(runs.storage, NAME) == {"newest": 1, "stable": 2}


def test_what_a_dead_run_left_undone_is_done_though_nothing_is_published(runs: Runs) -> None:
    runs.without_alias("a", aliases=["stable", "newest"])
    finish(runs.repository, str(NAME), ["stable", "newest"], "acme/words/2", "found")
    assert aliases(runs.storage, NAME) == {"stable": 1}
    finish(runs.repository, str(NAME), ["stable", "newest"], "acme/words/1", "found")
    assert aliases(runs.storage, NAME) == {"newest": 1, "stable": 1}


def test_an_alias_whose_first_record_was_not_written_is_none(runs: Runs, tmp_path: Path) -> None:
    runs.without_alias("a")
    (tmp_path / "modules" / "acme" / "words" / "-" / "aliases" / "stable").mkdir(parents=True)
    assert in_use(runs.storage, NAME, "stable") == 1
    assert aliases(runs.storage, NAME) == {}
    assert verify(runs.storage).damages == ()
    assert runs.publish("b").outcome == "already published"
    assert runs.stable == 1


def test_an_alias_that_somebody_moves_meanwhile_stays_where_it_is(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.publish("base", spans="0")
    publish(runs.modules["a"], runs.repository, str(NAME), card=runs.card)
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


@pytest.mark.parametrize(
    ("spans", "loser"), [(("1", "1"), "already published"), (("1", "12"), "outdated")]
)
def test_two_publications_at_once_make_one_version_fifty_times(
    memory: Path, spans: tuple[str, str], loser: str
) -> None:
    for number in range(ROUNDS):
        runs = Runs(memory, memory / f"modules-{number}")
        runs.publish("base", spans="0")
        with ThreadPoolExecutor(2) as pool:
            made = pool.map(lambda name, of, r=runs: r.publish(name, spans=of), ("a", "b"), spans)
            outcomes = [publication.outcome for publication in made]
        assert sorted(outcomes) == sorted(["published", loser])
        assert (runs.numbers, runs.stable) == ([1, 2], 2)


def test_so_do_two_processes(memory: Path) -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    forked = multiprocessing.get_context("fork")
    for number in range(ROUNDS // 5):
        runs = Runs(memory, memory / f"modules-{number}")
        started = [forked.Process(target=runs.publish, args=(name,)) for name in ("a", "b")]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert [process.exitcode for process in started] == [0, 0]
        assert (runs.numbers, runs.stable) == ([1], 1)
