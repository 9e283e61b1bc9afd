"""Which digest each handle gave before: one small JSON file a handle."""

import json
import os
from pathlib import Path

from hub_tfx._files import read_regular, replacing
from hub_tfx.errors import UnsafeArchiveError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.hashes import Stamp, hash_once
from hub_tfx.module.manifest import Manifest, is_digest
from hub_tfx.store.archive import DEFAULT_LIMITS
from hub_tfx.store.fetch.local import checked_source
from hub_tfx.store.folder import CacheFolder


def record_of(folder: CacheFolder, handle: ModuleHandle) -> dict[str, str]:
    """The digest that the handle gave before; empty if it is not known or not readable.

    Raises:
      RefusedError: somebody else may have written the record.
    """
    return read_record(folder, _path(folder, handle))


def read_record(folder: CacheFolder, path: Path) -> dict[str, str]:
    """The record in a file; see ``record_of``."""
    try:
        folder.trust.check(path, path.lstat())
        record = json.loads(read_regular(path, follow_link=False))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or not is_digest(record.get("digest")):
        return {}
    return record


def write_record(
    folder: CacheFolder,
    handle: ModuleHandle,
    digest: str,
    archive_sha256: str = "",
    entity_tag: str = "",
) -> None:
    record = {"handle": str(handle), "digest": digest}
    if entity_tag:
        record["entity_tag"] = entity_tag
    if archive_sha256:
        record["archive_sha256"] = archive_sha256
    with replacing(_path(folder, handle)) as temporary:
        temporary.write_text(json.dumps(record))
        temporary.chmod(folder.file_mode)


def known_digest(folder: CacheFolder, handle: ModuleHandle) -> str | None:
    """The digest as far as it is known without fetching: from the source, or from earlier."""
    if not handle.is_local:
        return record_of(folder, handle).get("digest")
    source = checked_source(handle)
    if source.is_dir():
        return Manifest.of_directory(source).digest
    record = record_of(folder, handle)
    packed = record.get(
        "archive_sha256"
    )  # Where there is none, the limits of unpacking come first.
    return record.get("digest") if packed and packed == archive_sha256(handle) else None


def archive_sha256(handle: ModuleHandle) -> str:
    """SHA-256 of a local archive, read once a process; empty for every other handle.

    Raises:
      UnsafeArchiveError: it is larger than anything that is unpacked.
    """
    if (stamp := archive_stamp(handle)) is None:
        return ""
    if stamp.size_bytes > DEFAULT_LIMITS.total_bytes:
        raise UnsafeArchiveError(
            f"{handle}: it has {stamp.size_bytes} bytes, more than {DEFAULT_LIMITS.total_bytes}: "
            "give the module's directory instead"
        )
    return hash_once(Path(handle.path))[1]


def archive_stamp(handle: ModuleHandle) -> Stamp | None:
    """What a local archive looks like; None for every other handle."""
    if not handle.is_local or not os.path.isfile(handle.path):
        return None
    return Stamp.of(os.stat(handle.path))


def _path(folder: CacheFolder, handle: ModuleHandle) -> Path:
    return folder.handles / f"{handle.key}.json"
