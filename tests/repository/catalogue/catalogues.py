"""What tests of a catalogue share: a repository whose modules are there in a millisecond each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub_tfx.module.manifest import FileEntry, Manifest, hash_file
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import prepare
from hub_tfx.testing import minimal_module

CARD: Mapping[str, Any] = {
    "summary": "Vectors of words.",
    "task": ["text-embedding"],
    "license": "Apache-2.0",
    "owners": ["Search Team"],
    "language": ["en"],
}


def add(
    storage: Storage,
    folder: Path,
    handle: str,
    number: int = 1,
    *,
    when: str = "2026-01-01T00:00:00+00:00",
    body: str = "",
    facts: Mapping[str, Any] | None = None,
    **card: Any,
) -> Version:
    """Commits a version without what takes time in publishing; more is keys of its card."""
    work = folder / f"{handle.replace('/', '-')}-{number}"
    module = minimal_module(work / "module")
    (module / "variables" / "variables.index").write_text(f"{handle} {number}")
    manifest = Manifest.of_directory(module)
    keys = {name: value for name, value in {**CARD, **card}.items() if value}
    lines = "".join(f"{name}: {json.dumps(value)}\n" for name, value in keys.items())
    files = {layout.CARD: work / layout.CARD, layout.FACTS: work / layout.FACTS}
    files[layout.CARD].write_text(f"---\n{lines}---\n{body}\n")
    known = {
        "format": "saved_model",
        "digest": manifest.digest,
        "size_bytes": manifest.size_bytes,
        "files": json.loads(manifest.to_json())["files"],
        "signatures": {},
        **(facts or {}),
    }
    files[layout.FACTS].write_text(json.dumps(known))
    beside = tuple(FileEntry(path, *hash_file(file)) for path, file in files.items())
    version = Version(ModuleName.parse(handle), number, manifest, beside, "ann@here", when)
    content = {f"{layout.MODULE}/{e.path}": module / e.path for e in manifest.files}
    prepare(storage, version.name)
    with storage.work() as at_work:
        storage.push(version, {**content, **files}, at_work)
        assert storage.commit(version, at_work)
    return version
