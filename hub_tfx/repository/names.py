"""Names in a repository: publisher/model, with a version or an alias.

A name is a path of a URL and of a disk, is typed by people and is compared by them, so that only
what is read in one way everywhere is allowed.
"""

import re
from dataclasses import dataclass

from hub_tfx._text import quoted
from hub_tfx.errors import ConfigError, HandleError

LATEST = "latest"
"""The alias of the newest version that is not yanked; it is derived and cannot be set."""
MAX_CHARS = 100

_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_SUFFIXES = (".json", ".tar", ".tar.gz", ".tgz")
"""Of files that lie beside versions, and of handles that TF Hub takes for archives."""


@dataclass(frozen=True, order=True)
class ModuleName:
    """The name of a module: ``str(name)`` is ``publisher/model``.

    Attributes:
      publisher: who answers for the module.
      model: the module of this publisher.
    """

    publisher: str
    model: str

    @classmethod
    def parse(cls, text: str) -> "ModuleName":
        """The name in a text; raises HandleError with the rule that a refused one breaks."""
        parts = text.split("/")
        if len(parts) != 2:
            raise HandleError(
                f"{quoted(text)} is not the name of a module: it has two parts, as in acme/words"
            )
        for what, part in zip(("publisher", "model"), parts, strict=True):
            if rule := _broken_rule(part):
                raise HandleError(
                    f"{quoted(text)} is not the name of a module: its {what} {rule}: "
                    "use letters, digits, '_', '-' and '.' as in acme/words-en"
                )
        return cls(*parts)

    @property
    def folded(self) -> "ModuleName":
        """What two names that differ only in upper and lower case have in common."""
        return ModuleName(self.publisher.lower(), self.model.lower())

    def __str__(self) -> str:
        return f"{self.publisher}/{self.model}"


@dataclass(frozen=True)
class Reference:
    """A module of a repository as a person names it: ``str(reference)`` is parsed again.

    Attributes:
      name: name of the module.
      version: number of the version, if one is named.
      alias: alias of the version, if one is named.
    """

    name: ModuleName
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """``publisher/model``, ``publisher/model/3`` or ``publisher/model@stable``.

        Raises:
          HandleError: the text is none of them; the message says why.
        """
        name, at, alias = text.partition("@")
        if at:
            return cls(ModuleName.parse(name), alias=check_alias(alias))
        if text.count("/") == 2:
            name, _, number = text.rpartition("/")
            return cls(ModuleName.parse(name), version=parse_version(number))
        return cls(ModuleName.parse(text))

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}/{self.version}"
        return f"{self.name}@{self.alias}" if self.alias else str(self.name)


def parse_version(text: str) -> int:
    """The number of a version; raises HandleError for what is not 1, 2, 3 ..."""
    if _NUMBER.fullmatch(text) is None:
        raise HandleError(f"{quoted(text)} is not the number of a version: use 1, 2, 3 and so on")
    return int(text)


def is_version(text: str) -> bool:
    """Whether a name is the number of a version."""
    return _NUMBER.fullmatch(text) is not None


def check_alias(text: str) -> str:
    """Returns an alias as it is; raises HandleError with the rule that a refused one breaks."""
    if rule := _broken_rule(text):
        raise HandleError(f"{quoted(text)} is not an alias: it {rule}: use one as stable or prod")
    return text


def check_settable(text: str) -> str:
    """Returns an alias that may be set as it is.

    Raises:
      HandleError: the alias breaks a rule.
      ConfigError: the alias is derived.
    """
    if check_alias(text) == LATEST:
        raise ConfigError(
            "the alias latest cannot be set: it is the newest version that is not yanked"
        )
    return text


def _broken_rule(part: str) -> str | None:
    """In words: the rule that a part of a name breaks."""
    if not part:
        return "is empty"
    if len(part) > MAX_CHARS:
        return f"has {len(part)} characters, more than {MAX_CHARS}"
    if foreign := _FOREIGN.search(part):
        return f"holds {foreign[0]!r} (U+{ord(foreign[0]):04X})"
    if _PART.fullmatch(part) is None:
        return "does not begin with a letter or digit, or ends with '.' or '-'"
    if ".." in part:
        return "holds '..'"
    if part.isdigit():
        return "is a number, as versions are"
    if part.lower().endswith(_SUFFIXES):
        return f"ends as a file does, with .{part.rpartition('.')[2]}"
    return None
