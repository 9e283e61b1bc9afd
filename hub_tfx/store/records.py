"""Which digest each handle gave before: one small JSON file a handle."""

import json
import os
from pathlib import Path

from hub_tfx._files import read_regular, replacing
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest, hash_file, is_digest
from hub_tfx.store.fetch.local import checked_source
from hub_tfx.store.folder import CacheFolder


def record_of(folder: CacheFolder, handle: ModuleHandle) -> dict[str, str]:
    """The digest that the handle gave before; empty if it is not known or not readable."""
    try:
        record = json.loads(read_regular(_path(folder, handle)))
    except (OSError, ValueError):
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


def known_digest(folder: CacheFolder, handle: ModuleHandle) -> str | None:
    """The digest as far as it is known without fetching: from the source, or from earlier."""
    if not handle.is_local:
        return record_of(folder, handle).get("digest")
    source = checked_source(handle)
    if source.is_dir():
        return Manifest.of_directory(source).digest
    record = record_of(folder, handle)
    return record.get("digest") if record.get("archive_sha256") == archive_sha256(handle) else None


def archive_sha256(handle: ModuleHandle) -> str:
    """SHA-256 of a local archive; empty for every other handle."""
    if not handle.is_local or not os.path.isfile(handle.path):
        return ""
    return hash_file(Path(handle.path))[1]


def _path(folder: CacheFolder, handle: ModuleHandle) -> Path:
    return folder.handles / f"{handle.key}.json"
