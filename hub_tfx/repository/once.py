"""Publishing what a run has trained, once, where several runs do so at the same time.

No run holds a lease. One that dies would hold it for ever, or until a clock says so, and one that
sleeps for longer than its lease would publish beside the next holder. Instead each step takes
effect only if nothing has changed since it was looked at: a version gets its number only if that is
still free, and an alias moves only if it still stands for what the candidate was judged against.
Whoever comes second finds what the first has done, and finishes what a run that died has begun.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hub_tfx.errors import TakenError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.changes import move_alias, set_alias
from hub_tfx.repository.facts import ModuleFacts, Origin, facts_of
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName, check_settable
from hub_tfx.repository.publish import PublishedVersion, publish
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.versions import (
    alias_names,
    found,
    holding,
    in_use,
    numbers,
    read_alias,
    read_version,
    yank_of,
)

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
    parent. Whatever is published, the first alias moves to it only from the version that the
    candidate was judged against; without aliases the newest version is the one in use.

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
    publisher = _Publisher(
        open_storage(repository),
        ModuleName.parse(name),
        tuple(check_settable(alias) for alias in aliases),
        why,
        baseline,
    )
    while True:
        seen = _Seen.of(publisher)
        if (outcome := publisher.without(module, facts, seen)) is not None:
            return outcome
        same = holding(publisher.storage, publisher.name, module.digest)
        number = same.number if same else seen.newest + 1
        try:
            made = publish(module, repository, name, version=number, facts=facts, why=why, **how)
        except TakenError:
            if _Seen.of(publisher).newest == seen.newest:
                raise  # By a name in another case.
            continue
        return publisher.put_in_use(made, facts, seen)


@dataclass(frozen=True)
class _Seen:
    """A repository as it was looked at.

    Attributes:
      numbers: the numbers of the versions.
      alias: number that the first alias stands for; None without it.
      in_use: number of the version in use; None where there is none.
    """

    numbers: Sequence[int]
    alias: int | None
    in_use: int | None

    @classmethod
    def of(cls, publisher: "_Publisher") -> "_Seen":
        storage, name, alias = publisher.storage, publisher.name, publisher.alias
        known = numbers(storage, name)
        has_alias = alias is not None and alias in alias_names(storage, name)
        target = read_alias(storage, name, alias) if alias is not None and has_alias else None
        return cls(known, target, target or in_use(storage, name))

    @property
    def newest(self) -> int:
        return max(self.numbers, default=0)


@dataclass(frozen=True)
class _Publisher:
    """Whoever publishes, where and under which name, and what the candidate was judged against."""

    storage: Storage
    name: ModuleName
    aliases: tuple[str, ...]
    why: str
    baseline: Origin | None

    @property
    def alias(self) -> str | None:
        return next(iter(self.aliases), None)

    def without(
        self, module: ResolvedModule, facts: ModuleFacts, seen: _Seen
    ) -> Publication | None:
        """The outcome where there is nothing to be published; None where there is."""
        same = holding(self.storage, self.name, module.digest)
        if same is not None and same.number == seen.in_use:
            return self._there(same, facts)
        if same is not None and (hidden := yank_of(self.storage, self.name, same.number)):
            told = f"{same.key} has the same bytes, and is yanked: {hidden.why}"
            return self._outcome("yanked", told, seen.in_use)
        twin = None if same else self._twin(facts, seen)
        if twin is not None:
            return self._beside(twin, seen)
        if self._is_outdated(seen):
            return self._outdated(seen)
        return None

    def put_in_use(self, made: PublishedVersion, facts: ModuleFacts, seen: _Seen) -> Publication:
        """The outcome where a version was published, or was there with the same bytes."""
        version, rest = read_version(self.storage, self.name, made.version), self.aliases
        if self.baseline is not None and rest:
            if not self._move(rest[0], version, seen):
                return self._outdated(_Seen.of(self), f", and {version.key} is not")
            rest = rest[1:]
        for alias in rest:
            set_alias(self.storage, self.name, alias, version.number, self.why)
        if made.created:
            return self._outcome("published", self.why, version.number)
        return self._by_whom(version, facts)

    def _there(self, same: Version, facts: ModuleFacts) -> Publication:
        """The outcome where the same bytes are in use already."""
        self.storage.finish(same)
        for alias in self.aliases[1:]:
            set_alias(self.storage, self.name, alias, same.number, self.why)
        return self._by_whom(same, facts)

    def _by_whom(self, same: Version, facts: ModuleFacts) -> Publication:
        """The outcome where the same bytes were there: by this run, tried again, or another."""
        theirs = facts_of(self.storage, same)
        if facts.run is not None and theirs is not None and theirs.run == facts.run:
            return self._outcome("published", self.why, same.number)
        told = f"{same.key} has the same bytes, and was published{_by(theirs)}"
        return self._outcome("already published", told, same.number)

    def _twin(self, facts: ModuleFacts, seen: _Seen) -> Version | None:
        """The newest version that was published from the same decision, after the baseline."""
        if facts.learned is None:
            return None
        for number in reversed(seen.numbers):
            version = found(self.storage, self.name, number)
            if version is None:
                continue
            if self.baseline is not None and version.digest == self.baseline.digest:
                return None
            theirs = facts_of(self.storage, version)
            is_same = theirs is not None and theirs.learned == facts.learned
            if is_same and theirs is not None and _parent(theirs) == _parent(facts):
                return None if yank_of(self.storage, self.name, number) else version
        return None

    def _beside(self, twin: Version, seen: _Seen) -> Publication:
        """The outcome where another run has published from the same decision."""
        self.storage.finish(twin)
        is_ahead = seen.in_use is None or seen.in_use < twin.number
        if self.alias is not None and is_ahead and not self._is_outdated(seen):
            self._move(self.alias, twin, seen)  # If that run has died before it did so.
        by = _by(facts_of(self.storage, twin))
        told = f"{twin.key} was published from the same decision{by}"
        return self._outcome("already published", told, _Seen.of(self).in_use)

    def _is_outdated(self, seen: _Seen) -> bool:
        if self.baseline is None or seen.in_use is None:
            return False
        now = read_version(self.storage, self.name, seen.in_use)
        return now.digest != self.baseline.digest

    def _outdated(self, seen: _Seen, more: str = "") -> Publication:
        against = (self.baseline and self.baseline.handle) or "nothing"
        told = (
            f"the verdict is about another baseline: it was judged against {against}, and "
            f"{self.name}/{seen.in_use} is in use by now{more}"
        )
        return self._outcome("outdated", told, seen.in_use)

    def _move(self, alias: str, version: Version, seen: _Seen) -> bool:
        args = (self.storage, self.name, alias, version.number, seen.alias)
        return move_alias(*args, self.why)

    def _outcome(self, outcome: Outcome, why: str, number: int | None) -> Publication:
        if number is None:
            return Publication(outcome, why, None, None)
        version = read_version(self.storage, self.name, number)
        return Publication(outcome, why, version, f"repo+{self.storage.url}//{version.key}")


def _parent(facts: ModuleFacts) -> str | None:
    return None if facts.parent is None else facts.parent.digest


def _by(facts: ModuleFacts | None) -> str:
    return f" by the run {facts.run}" if facts is not None and facts.run else " before"
