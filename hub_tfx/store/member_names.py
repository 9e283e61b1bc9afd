"""The names of archive members: which may be unpacked, and which clash with an earlier one."""

import unicodedata

from hub_tfx.errors import UnsafeArchiveError

_PART_BYTES = 255  # The longest file name of Linux' usual file systems.
_PATH_BYTES = 2048  # Half of what Linux opens: the rest is for where it is unpacked.


class MemberNames:
    """Takes the members' names in turn and refuses the unsafe ones.

    Two names clash where a file system that ignores case or Unicode form would take them for one:
    an archive must unpack to the same module everywhere.
    """

    def __init__(self, max_depth: int, max_made: int):
        """No names yet.

        Args:
          max_depth: how many parts a path may have.
          max_made: how many files and directories there may be, implied ones too.
        """
        self._max_depth = max_depth
        self._max_made = max_made
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._spellings: dict[str, str] = {}

    def add_file(self, name: str) -> tuple[str, ...]:
        """The parts of a file's path, which may have come before: then it has to be the same file.

        Raises:
          UnsafeArchiveError: the name is refused; the message has it, and the rule.
        """
        parts = self._parts(name)
        if not parts or name.endswith(("/", "/.")):
            raise _refusal(name, "a file that is named like a directory")
        path = "/".join(parts)
        self._check_spelling(name, path)
        self._add_parents(name, parts[:-1])
        if path in self._folders:
            raise _refusal(name, "a file and a directory at once")
        self._files.add(path)
        return parts

    def add_directory(self, name: str) -> tuple[str, ...]:
        """The parts of a directory's path; ``./`` is the root and has none.

        So has ``/``, which is what Python's tarfile writes for ``add(DIRECTORY, arcname="/")``.
        """
        parts = self._parts(name if name.strip("/") else "./")
        self._add_parents(name, parts)
        return parts

    def _parts(self, name: str) -> tuple[str, ...]:
        if rule := _broken_rule(name):
            raise _refusal(name, rule)
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if len(parts) > self._max_depth:
            raise _refusal(name, f"more than {self._max_depth} levels deep")
        return parts

    def _add_parents(self, name: str, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            self._check_spelling(name, folder)
            if folder in self._files:
                raise _refusal(name, f"{folder!r} is a file and a directory at once")
            self._folders.add(folder)

    def _check_spelling(self, name: str, path: str) -> None:
        if (other := self._spellings.setdefault(_folded(path), path)) != path:
            raise _refusal(name, f"the same as {other!r} but for case or Unicode form")
        if len(self._spellings) > self._max_made:
            raise _refusal(name, f"with it there are more than {self._max_made} files and folders")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def _broken_rule(name: str) -> str | None:
    if len(name) > _PATH_BYTES:
        return f"a path of more than {_PATH_BYTES} bytes"
    try:
        encoded = [part.encode() for part in name.split("/")]
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if not name:
        return "it has no name"
    if any(character < " " or character == "\x7f" for character in name):
        return "a NUL byte or another control character in its name"
    if "\\" in name:
        return "a backslash in its name"
    if "://" in name:
        return "its name is a URL"
    if name.startswith("/"):
        return "its path is absolute"
    if b".." in encoded:
        return "'..' in its path"
    if any(len(part) > _PART_BYTES for part in encoded):
        return f"a name of more than {_PART_BYTES} bytes"
    return None


def _refusal(name: str, rule: str) -> UnsafeArchiveError:
    return UnsafeArchiveError(f"member {name[:200]!r}: {rule}")
