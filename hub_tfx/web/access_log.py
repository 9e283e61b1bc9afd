"""The access log: one JSON document a line, without secrets and control characters."""

import json
import logging
import os
import stat
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from logging.handlers import WatchedFileHandler
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.types import Scope

from hub_tfx._files import kind_of_file, why
from hub_tfx._text import shortened
from hub_tfx.errors import OutputError

_SHOWN = frozenset(
    (
        *("tf-hub-format", "lite-format", "version", "alias", "left", "right", "all", "q", "sort"),
        *("task", "format", "publisher", "language", "license", "fine_tunable", "yanked"),
        *("page", "per_page"),
    )
)
"""Parameters of ours. What others hold may be a secret."""
_MAX_CHARS = 500


class AccessLog:
    """Writes a line for each answer."""

    def __init__(self, handler: logging.Handler):
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._handler = handler

    @classmethod
    def at(cls, path: str) -> "AccessLog":
        """A log in a file, which may be moved away meanwhile; ``-`` for standard output.

        Raises:
          OutputError: the file cannot be written.
        """
        if path == "-":
            return cls(logging.StreamHandler(sys.stdout))
        try:
            if os.path.exists(path) and not stat.S_ISREG(mode := os.stat(path).st_mode):
                raise OSError(f"it is {kind_of_file(mode)}, not a file")
            return cls(WatchedFileHandler(path, encoding="utf-8"))
        except OSError as error:
            raise OutputError(
                f"the access log {path} cannot be written: {why(error)}; name another file"
            ) from error

    def write(self, scope: Scope, status: int, size_bytes: int, seconds: float) -> None:
        line = json.dumps(line_of(scope, status, size_bytes, seconds))
        self._handler.emit(logging.makeLogRecord({"msg": "%s", "args": (line,)}))

    def close(self) -> None:
        self._handler.close()


def line_of(scope: Scope, status: int, size_bytes: int, seconds: float) -> Mapping[str, Any]:
    """What is said of an answer. JSON escapes what is not ASCII, control characters as well."""
    client, headers = scope.get("client"), Headers(scope=scope)
    line = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "client": client[0] if client else None,
        "token": scope.get("state", {}).get("token"),
        "method": shortened(scope["method"], _MAX_CHARS),
        "path": shortened(scope["path"], _MAX_CHARS),
        "query": shortened(redacted(scope["query_string"].decode("latin-1")), _MAX_CHARS),
        "status": status,
        "bytes": size_bytes,
        "seconds": round(seconds, 6),
        "agent": shortened(headers.get("user-agent", ""), _MAX_CHARS),
    }
    return {name: value for name, value in line.items() if value not in (None, "")}


def redacted(query: str) -> str:
    """A query in which only the values of our own parameters are left."""
    parameters = parse_qsl(query, keep_blank_values=True, errors="replace")
    return "&".join(urlencode([p]) if p[0] in _SHOWN else "…=…" for p in parameters)
