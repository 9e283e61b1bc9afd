"""A file that is being downloaded, of which a part may be here already."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from hub_tfx._files import MAKE_ROOM, why
from hub_tfx.errors import OutputError
from hub_tfx.store.archive import HEAD_BYTES

_MAX_TAG_CHARS = 200
_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


def strong_tag(headers: Mapping[str, str]) -> str:
    """The entity tag, if it is one that another byte would change; empty otherwise."""
    tag = headers.get("ETag", "")
    # One that begins with W/ is weak.
    return tag if tag.startswith('"') and len(tag) <= _MAX_TAG_CHARS else ""


class Part:
    """What has come of a file so far, and by what a server knows that file."""

    def __init__(self, file: IO[bytes]):
        """A part that nothing has come of, in a file that is open and empty."""
        self._file = file
        self.size_bytes = 0
        self.total_bytes: int | None = None
        self._etag = ""
        self.head = b""

    @property
    def path(self) -> Path:
        return Path(self._file.name)

    def conditions(self) -> dict[str, str]:
        """The headers that ask for the rest, if it can be had."""
        if not self._etag or self.size_bytes < HEAD_BYTES:
            return {}
        return {"Range": f"bytes={self.size_bytes}-", "If-Range": self._etag}

    def restart(self, headers: Mapping[str, str]) -> None:
        """Forgets what has come, since a whole file follows."""
        with self._written():
            self._file.seek(0)
            self._file.truncate()
        promised = headers.get("Content-Length", "")
        self.size_bytes, self.head = 0, b""
        self.total_bytes = int(promised) if promised.isdigit() else None
        self._etag = strong_tag(headers)

    def is_continued_by(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer with these headers is the rest, and of the same file."""
        answered = _RANGE.fullmatch(headers.get("Content-Range", "").strip())
        if answered is None or int(answered[1]) != self.size_bytes:
            return False
        total = self.total_bytes
        if total is not None and (
            int(answered[2]) != total - 1 or answered[3] not in ("*", str(total))
        ):
            return False
        return headers.get("ETag", self._etag) == self._etag

    def write(self, chunk: bytes) -> None:
        with self._written():
            self._file.write(chunk)
            self._file.flush()
        self.size_bytes += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"{self._file.name} cannot be written: {why(error)}; {MAKE_ROOM}"
            raise OutputError(message) from error


@contextmanager
def new_part(target: Path) -> Iterator[Part]:
    """A part of a download in a file that is not there yet, nor perhaps its folder."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("xb")
    except OSError as error:
        raise OutputError(f"{target} cannot be written: {why(error)}; {MAKE_ROOM}") from error
    with file:
        yield Part(file)


@contextmanager
def scratch(folder: Path) -> Iterator[Part]:
    """A part of a download in a temporary file of a folder."""
    try:
        file = NamedTemporaryFile(dir=folder)  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {why(error)}; {MAKE_ROOM}") from error
    with file:
        yield Part(file)
