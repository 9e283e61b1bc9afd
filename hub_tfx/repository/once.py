"""Publishing what a run has trained, once, where several runs do so at the same time.

No run holds a lease. One that dies would hold it for ever, or until a clock says so, and one that
sleeps for longer than its lease would publish beside the next holder. Instead each step takes
effect only if nothing has changed since it was looked at: a version gets its number only if that is
still free, and an alias moves only if it still stands for what the candidate was judged against.
Whoever comes second finds what the first has done, and finishes what a run that died has begun.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from hub_tfx.errors import TakenError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.changes import move_alias, set_alias
from hub_tfx.repository.facts import Learned, ModuleFacts, Origin, Succession, facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName, check_settable
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.succession import Seen, add_aliases, look, settle
from hub_tfx.repository.versions import found, holding, numbers, read_version, yank_of

Outcome = Literal["published", "already published", "outdated", "yanked"]


@dataclass(frozen=True)
class Publication:
    """What became of a candidate.

    Attributes:
      outcome: ``published``; ``already published`` by another run, from the same decision or with
        the same bytes; ``outdated`` where something else is in use than what the candidate was
        judged against; ``yanked`` where these bytes were published once, and hidden.
      why: the outcome in words.
      version: the version in use afterwards; None where nothing is in use.
      handle: handle by which that is resolved.
    """

    outcome: Outcome
    why: str
    version: Version | None
    handle: str | None

    @property
    def is_final(self) -> bool:
        """Whether trying again would lead to the same."""
        return self.outcome != "outdated"


def publish_once(
    module: ResolvedModule,
    repository: str,
    name: str,
    *,
    facts: ModuleFacts,
    baseline: Origin | None = None,
    aliases: Iterable[str] = (),
    why: str = "published",
    **how: Any,
) -> Publication:
    """Publishes a module under a name, unless another run has done so, or its verdict is outdated.

    A version was published from the same decision if it has learned the same, from the same
    parent. The first alias moves only from the version that the candidate was judged against;
    without aliases the newest version is the one in use.

    Args:
      module: the module.
      repository: directory, ``s3://…`` or ``gs://…``.
      name: ``publisher/model``.
      facts: what is known of the module, above all what it has ``learned``, and by which ``run``.
      baseline: what it was judged against; None where it is published whatever is in use.
      aliases: aliases that stand for the version afterwards.
      why: reason in the record of an alias.
      how: more of ``publish``: card and so on.

    Raises:
      HubTfxError: as ``publish``.
    """
    wanted = tuple(check_settable(alias) for alias in aliases)
    storage, parsed = open_storage(repository), ModuleName.parse(name)
    if baseline is not None:
        facts = replace(facts, succession=Succession(baseline.digest, next(iter(wanted), None)))
    publisher = _Publisher(storage, parsed, wanted, why, baseline, module.digest, facts)
    while True:
        seen = publisher.look()
        if (outcome := publisher.without(seen)) is not None:
            return outcome
        same = holding(storage, parsed, module.digest)
        number = same.number if same else seen.newest + 1
        try:
            made = publish(module, repository, name, version=number, facts=facts, why=why, **how)
        except TakenError:
            if publisher.look().newest == seen.newest:
                raise  # By a name in another case.
            continue
        return publisher.put_in_use(made, seen)


@dataclass(frozen=True)
class _Publisher:
    """Whoever publishes, where and under which name, and what is known of the candidate."""

    storage: Storage
    name: ModuleName
    aliases: tuple[str, ...]
    why: str
    baseline: Origin | None
    digest: str
    facts: ModuleFacts

    def look(self) -> Seen:
        """What is in use, once what other runs have published is."""
        if self.baseline is None:
            return look(self.storage, self.name, next(iter(self.aliases), None))
        return settle(self.storage, self.name, self.aliases, self.why)

    def without(self, seen: Seen) -> Publication | None:
        """The outcome where there is nothing to be published; None where there is."""
        same = holding(self.storage, self.name, self.digest)
        if same is not None and seen.in_use == same:
            self.storage.finish(same)
            return self._there(same)
        if same is not None and (hidden := yank_of(self.storage, self.name, same.number)):
            told = f"{same.key} has the same bytes, and is yanked: {hidden.why}"
            return self._outcome("yanked", told, seen.in_use)
        if same is None and (twin := self._twin()) is not None:
            told = f"{twin.key} was published from the same decision{self._by_whom(twin)}"
            return self._outcome("already published", told, seen.in_use)
        return self._outdated(seen) if self._is_outdated(seen) else None

    def put_in_use(self, made: PublishedVersion, seen: Seen) -> Publication:
        """The outcome where a version was published, or was there with the same bytes."""
        version, rest = read_version(self.storage, self.name, made.version), self.aliases
        if self.baseline is not None and rest:
            args = (self.storage, self.name, rest[0], version.number, seen.alias)
            if not move_alias(*args, self.why):
                return self._outdated(self.look(), f", and {version.key} is not")
            rest = rest[1:]
        for alias in rest:
            set_alias(self.storage, self.name, alias, version.number, self.why)
        return (
            self._outcome("published", self.why, version) if made.created else self._there(version)
        )

    def _there(self, same: Version) -> Publication:
        """The outcome where the same bytes were there: by this run, tried again, or another."""
        add_aliases(self.storage, self.name, self.aliases[1:], same.number, self.why)
        theirs = facts_of(self.storage, same)
        if theirs is not None and theirs.run is not None and theirs.run == self.facts.run:
            return self._outcome("published", self.why, same)
        told = f"{same.key} has the same bytes, and was published{self._by_whom(same)}"
        return self._outcome("already published", told, same)

    def _twin(self) -> Version | None:
        """The newest version that was published from the same decision, after the baseline."""
        if self.facts.learned is None:
            return None
        for number in reversed(numbers(self.storage, self.name)):
            version = found(self.storage, self.name, number)
            if version is None:
                continue
            if self.baseline is not None and version.digest == self.baseline.digest:
                return None
            if _decision(facts_of(self.storage, version)) == _decision(self.facts):
                return None if yank_of(self.storage, self.name, number) else version
        return None

    def _is_outdated(self, seen: Seen) -> bool:
        if self.baseline is None or seen.in_use is None:
            return False
        return seen.in_use.digest != self.baseline.digest

    def _outdated(self, seen: Seen, more: str = "") -> Publication:
        against = (self.baseline and self.baseline.handle) or "another module"
        now = seen.in_use.key if seen.in_use else "nothing"
        told = f"the module was judged against {against}, and {now} is in use by now{more}"
        return self._outcome("outdated", told, seen.in_use)

    def _by_whom(self, version: Version) -> str:
        facts = facts_of(self.storage, version)
        return f" by the run {facts.run}" if facts is not None and facts.run else " before"

    def _outcome(self, outcome: Outcome, why: str, version: Version | None) -> Publication:
        handle = None if version is None else f"repo+{self.storage.url}//{version.key}"
        return Publication(outcome, why, version, handle)


def _decision(facts: ModuleFacts | None) -> tuple[Learned | None, str | None] | None:
    """What a version has learned, and from which parent."""
    if facts is None:
        return None
    return facts.learned, None if facts.parent is None else facts.parent.digest
