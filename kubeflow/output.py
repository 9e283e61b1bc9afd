"""Writes what is made for a platform into a file."""

from pathlib import Path

from hub_tfx._files import replacing, why
from hub_tfx.errors import OutputError


def write_file(output: str, text: str) -> None:
    """Writes a local file, complete or not at all; its folder is made where it is missing.

    Raises:
      OutputError: it cannot be written.
    """
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(text)
    except (OSError, ValueError) as error:
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise OutputError(f"{output} cannot be written: {reason}") from error
