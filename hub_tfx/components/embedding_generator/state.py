"""Where the newest embeddings are, for runners that resolve no artifacts of earlier runs.

A state directory holds `latest.json`, which names the URI of an `embeddings` artifact.
"""

import json

from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import make_folder, read_bytes, replace_file
from hub_tfx.errors import InputError

_LATEST = "latest.json"
_EMBEDDINGS = "embeddings"


def read_state(state_dir: str) -> str | None:
    """URI of the newest embeddings; None before the first run.

    Raises:
      InputError: `latest.json` is damaged.
    """
    path = FileSystems.join(state_dir, _LATEST)
    if not FileSystems.exists(path):
        return None
    try:
        uri: str = json.loads(read_bytes(path))[_EMBEDDINGS]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: delete it, and all rows are embedded again"
        ) from error
    return uri


def write_state(state_dir: str, embeddings: str) -> None:
    """Names the newest embeddings; a reader sees the old ones or the new ones."""
    path = FileSystems.join(state_dir, _LATEST)
    content = json.dumps({_EMBEDDINGS: embeddings}).encode()
    make_folder(state_dir)
    replace_file(path, content)
