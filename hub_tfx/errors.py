"""Every error hub_tfx raises on purpose.

One root, so that ``except HubTfxError`` is enough::

    HubTfxError
    ├── UsageError               what the caller asked for makes no sense
    │   ├── HandleError          the handle cannot be parsed, or nothing fetches its scheme
    │   ├── CardError            a module's card has errors, each with its line
    │   ├── ConfigError          a config or option is wrong for this module or this input
    │   │   └── ConfigFileError  a config file has errors, each with its line
    │   └── SignatureError       the module has no such signature, tag set or key
    ├── NotAModuleError          the bytes are there, but they are not a module
    ├── FetchError               the module cannot be had from where the handle points
    │   └── TransientFetchError  the same, but trying again may help
    ├── ArchiveError             the archive is cut short or damaged
    ├── RefusedError             refused for safety
    │   ├── UnsafeArchiveError   an archive member that may not be unpacked
    │   ├── DigestMismatchError  the bytes are not those that were promised
    │   ├── UnsafeModuleError    a module has what the policy does not allow, or reads without end
    │   └── UntrustedError       no valid signature of the key that is configured
    ├── AuthoringError           a module cannot be built from what was given
    ├── VariantError             a module cannot be had in another format, or differs in it
    ├── InputError               an input file is missing or cannot be read
    ├── OutputError              the output cannot be written, or is not ours to replace
    │   └── TakenError           a name or number in a repository is another's
    ├── ModuleStuckError         a call of the module does not end
    ├── RejectedRowsError        too many rows went to the dead letters
    └── IncompleteError          rows were lost or counted twice: nothing was committed
        └── JobLeftRunningError  the runner returned before the job had ended

``exit_code`` is what the command line ends with.
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class HubTfxError(Exception):
    """Root of all errors. The message says what was wrong, where, and what to do."""

    exit_code: ClassVar[int] = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The message in lines that stand alone, as a terminal shows them: one for most errors."""
        return (str(self),)


class UsageError(HubTfxError):
    exit_code = 2


class HandleError(UsageError):
    pass


class _ProblemsError(HubTfxError):
    """An error about several lines of a file.

    Attributes:
      problems: ``file:line: key: what is wrong`` for each of them, by line.
    """

    def __init__(self, problems: Sequence[str]):
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    @property
    def lines(self) -> tuple[str, ...]:
        return self.problems


class CardError(_ProblemsError, UsageError):
    """A card cannot be read, or has errors; ``problems`` are all of them, by line."""


class ConfigError(UsageError):
    pass


class ConfigFileError(_ProblemsError, ConfigError):
    """A config file cannot be read, or has errors; ``problems`` are all of them, by line."""


class SignatureError(UsageError):
    pass


class NotAModuleError(HubTfxError):
    pass


class FetchError(HubTfxError):
    pass


class TransientFetchError(FetchError):
    pass


class ArchiveError(HubTfxError):
    pass


class RefusedError(HubTfxError):
    exit_code = 5


class UnsafeArchiveError(RefusedError):
    pass


class DigestMismatchError(RefusedError):
    pass


class UnsafeModuleError(RefusedError):
    """A module is not to be loaded.

    Attributes:
      verdict: a hub_tfx.module.safety.Verdict; None where the module could not be read to its end.
    """

    def __init__(self, message: str, verdict: Any = None):
        super().__init__(message)
        self.verdict = verdict


class UntrustedError(RefusedError):
    pass


class AuthoringError(HubTfxError):
    pass


class VariantError(HubTfxError):
    pass


class InputError(HubTfxError):
    pass


class OutputError(HubTfxError):
    pass


class TakenError(OutputError):
    pass


class ModuleStuckError(HubTfxError):
    pass


class RejectedRowsError(HubTfxError):
    """Too many rows were rejected.

    Attributes:
      folder: where the dead letters are; None where they are not kept.
    """

    exit_code = 3

    def __init__(self, message: str, folder: str | None = None):
        super().__init__(message)
        self.folder = folder


class IncompleteError(HubTfxError):
    pass


class JobLeftRunningError(IncompleteError):
    pass
