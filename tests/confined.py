"""What a confined child can do: python -m confined PORT FOLDER RESULT_FILE."""

import socket
import sys
from pathlib import Path

from hub_tfx.module.child import answer


def tried(port: str, folder: str) -> dict[str, object]:
    """Whether it reaches a port of this machine, and may write to two folders."""
    return {
        "connects": _works(lambda: socket.create_connection(("127.0.0.1", int(port)), 5).close()),
        "writes": _works(lambda: Path(folder, "written").write_text("x")),
        "writes_here": _works(lambda: Path("written").write_text("x")),
    }


def _works(action: object) -> bool:
    try:
        action()  # type: ignore[operator]
    except OSError:
        return False
    return True


if __name__ == "__main__":
    answer(sys.argv[3], lambda: tried(sys.argv[1], sys.argv[2]))
