"""What a run leaves for the next one, for runners that resolve no artifacts of earlier runs.

A state directory holds a small file of JSON for each thing, which names the URI of an artifact.
"""

import json
from dataclasses import dataclass

from apache_beam.io.filesystems import FileSystems

from hub_tfx.data.filesystems import make_folder, read_bytes, replace_file
from hub_tfx.errors import InputError


@dataclass(frozen=True)
class Pointer:
    """A file of a state directory that names an artifact.

    Attributes:
      file: name of the file.
      key: the key in the file.
      without: what happens without the file.
    """

    file: str
    key: str
    without: str

    def path(self, state_dir: str) -> str:
        """Where the file is."""
        return str(FileSystems.join(state_dir, self.file))

    def read(self, state_dir: str) -> str | None:
        """URI of the artifact; None before the first run.

        Raises:
          InputError: the file is damaged.
        """
        path = self.path(state_dir)
        if not FileSystems.exists(path):
            return None
        try:
            uri = json.loads(read_bytes(path))[self.key]
            if not isinstance(uri, str):
                raise ValueError
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(f"{path} is damaged: delete it, and {self.without}") from error
        return uri

    def write(self, state_dir: str, uri: str) -> None:
        """Names another artifact; a reader sees the old one or the new one."""
        make_folder(state_dir)
        replace_file(self.path(state_dir), json.dumps({self.key: uri}).encode())


EMBEDDINGS = Pointer("latest.json", "embeddings", "all rows are embedded again")
LEARNED = Pointer(
    "learned.json", "decision", "all is learned again but what the version in use has learned"
)
