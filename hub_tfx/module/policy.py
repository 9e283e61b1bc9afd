"""What becomes of a module in which something was found: the one place that decides."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from hub_tfx._text import shortened
from hub_tfx.errors import ConfigError, UnsafeModuleError
from hub_tfx.module.safety import Finding, Verdict

_log = logging.getLogger(__name__)

Mode = Literal["strict", "warn", "off"]
VARIABLE = "HUB_TFX_POLICY"
_NAMED = 3
_OP_RULES = ("op", "package", "saver", "file", "attribute")


@dataclass(frozen=True)
class SafetyPolicy:
    """Which modules may be used. ``SafetyPolicy.from_json(p.to_json()) == p``.

    Attributes:
      mode: ``strict`` refuses a module in which something was found, ``warn`` says it, ``off`` does
        not look. None for what HUB_TFX_POLICY says, or otherwise strict for a module from elsewhere
        and warn for one of this machine.
      allow_ops: names of ops that are allowed all the same.
      imports: packages whose ops are allowed, since they are imported to run the module.
    """

    mode: Mode | None = None
    allow_ops: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.mode is not None:
            _checked(self.mode, "policy")
        for name in ("allow_ops", "imports"):
            given = getattr(self, name)
            if isinstance(given, str) or not all(isinstance(item, str) for item in given):
                raise ConfigError(f"{name} of a policy takes a list of names, not {given!r}")
            object.__setattr__(self, name, tuple(given))

    def mode_for(self, *, is_remote: bool) -> Mode:
        """What is done with a module from elsewhere, or of this machine.

        Raises:
          ConfigError: HUB_TFX_POLICY is none of the three.
        """
        if self.mode is not None:
            return self.mode
        if configured := os.environ.get(VARIABLE):
            return _checked(configured, VARIABLE)
        return "strict" if is_remote else "warn"

    def refused(self, verdict: Verdict) -> tuple[Finding, ...]:
        """The findings that are not allowed by name."""
        return tuple(finding for finding in verdict.findings if not self._allows(finding))

    def admit(self, subject: str, verdict: Verdict, *, is_remote: bool) -> None:
        """Decides on a module.

        Args:
          subject: what the module is called in messages.
          verdict: what was found in it.
          is_remote: whether it comes from elsewhere.

        Raises:
          UnsafeModuleError: it is refused.
        """
        mode = self.mode_for(is_remote=is_remote)
        findings = self.refused(verdict)
        if mode == "off" or not findings:
            return
        if mode == "strict":
            raise UnsafeModuleError(
                f"{subject}: refused: {told(findings)}; {fix(findings)}", verdict
            )
        _log.warning(
            "%s: loading it runs what is on no list of harmless ops: %s; --policy strict would "
            "refuse it",
            subject,
            told(findings),
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SafetyPolicy":
        """The policy of a text.

        Raises:
          ConfigError: it is not what ``to_json`` writes.
        """
        try:
            document: Any = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"a policy is a JSON object, not {shortened(repr(text))}") from error
        if not isinstance(document, Mapping) or not document.keys() <= asdict(cls()).keys():
            raise ConfigError(f"a policy has mode, allow_ops and imports, not {shortened(text)}")
        return cls(**document)

    def _allows(self, finding: Finding) -> bool:
        if finding.package and finding.package in self.imports:
            return True
        return finding.rule in _OP_RULES and finding.op in self.allow_ops


def told(findings: Sequence[Finding]) -> str:
    """Findings in a line, the first few in full."""
    more = len(findings) - _NAMED
    words = "; ".join(map(str, findings[:_NAMED]))
    return f"{words}; and {more} more" if more > 0 else words


def fix(findings: Sequence[Finding]) -> str:
    """What to do about findings for which a module is refused."""
    packages = sorted({finding.package for finding in findings if finding.package})
    ops = sorted({f.op for f in findings if f.rule in _OP_RULES and f.op and not f.package})
    ways = [f"--import {package}" for package in packages]
    ways += [f"--allow-op {op}" for op in ops[:_NAMED]]
    if any(finding.rule not in _OP_RULES for finding in findings) or len(ops) > _NAMED:
        ways = ["--policy warn"]
    if packages and not ops and ways != ["--policy warn"]:
        return f"name the package that it needs: {' '.join(ways)}"
    return f"if you trust its author as you trust a program, allow it: {' '.join(ways)}"


def _checked(mode: str, what: str) -> Mode:
    for known in get_args(Mode):
        if mode == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"{what} takes {', '.join(get_args(Mode))}, not {shortened(repr(mode))}")
