"""Which artifacts of ML Metadata a digest or a directory stands for."""

import difflib
import json
import os
import re
from itertools import takewhile
from pathlib import Path

from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx._files import read_regular
from hub_tfx.errors import InputError, UsageError
from hub_tfx.lineage.graph import artifacts_with_digest
from hub_tfx.module.files import holds_module
from hub_tfx.module.manifest import Manifest

# Also the beginning of a digest, which finds nothing: the error names the digests that begin alike.
_DIGEST_OR_PREFIX = re.compile(r"[0-9a-fA-F]{1,64}")
_NEAREST = 3


def find_roots(
    store: MetadataStore, target: str, place: str
) -> tuple[str | None, list[mlmd.Artifact]]:
    """The artifacts that a digest or a directory stands for.

    Args:
      store: ML Metadata.
      target: what a person asked for.
      place: where ML Metadata is, for messages.

    Returns:
      The module's digest, or None where a directory is found by its path, and the artifacts.

    Raises:
      UsageError: the target is neither a digest nor a directory.
      InputError: the directory holds nothing of ours, or ML Metadata has no such artifact.
    """
    if os.path.isdir(target):
        digest = _digest_of_module(Path(target))
        if digest is None and (found := _artifacts_at(store, target)):
            return None, found
        digest = digest or _digest_of_embeddings(Path(target))
    elif _DIGEST_OR_PREFIX.fullmatch(target):
        digest = target.lower()
    else:
        raise UsageError(
            f"{target} is neither a directory nor a digest, which has 64 hex digits: give one "
            "of the two"
        )
    found = artifacts_with_digest(store, digest)
    if not found:
        raise InputError(f"{place} has no artifact with digest {digest}; {_nearest(store, digest)}")
    return digest, found


def _digest_of_module(directory: Path) -> str | None:
    """The digest of a module's directory or of a HubModule's; None for any other directory."""
    if holds_module(directory):
        return Manifest.of_directory(directory).digest
    manifest = directory / "manifest.json"
    if not ((directory / "module").is_dir() and manifest.is_file()):
        return None
    try:
        return Manifest.from_json(read_regular(manifest).decode()).digest
    except (OSError, ValueError) as error:
        raise InputError(f"{manifest} is not the manifest of a HubModule: {error}") from error


def _artifacts_at(store: MetadataStore, directory: str) -> list[mlmd.Artifact]:
    """The artifacts whose files are in a directory."""
    absolute = {os.path.abspath(directory), os.path.realpath(directory)}
    uris = {uri for path in (directory.rstrip("/"), *absolute) for uri in (path, f"{path}/")}
    found = {a.id: a for uri in uris for a in store.get_artifacts_by_uri(uri)}
    return [found[i] for i in sorted(found)]


def _digest_of_embeddings(directory: Path) -> str:
    """The digest of the module that made the embeddings in a directory, from their manifest.

    Raises:
      InputError: the directory holds no manifest of embeddings.
    """
    for manifest in sorted(directory.glob("manifest*.json")):
        try:
            return str(json.loads(read_regular(manifest))["module"]["digest"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    raise InputError(
        f"{directory} holds neither a module nor embeddings, and ML Metadata has no artifact "
        "there: give a module's directory, the directory of an artifact, or a digest"
    )


def _nearest(store: MetadataStore, digest: str) -> str:
    """Digests that the store has; first those that begin like the one that was asked for."""
    known = {
        a.custom_properties[name].string_value
        for a in store.get_artifacts()
        for name in ("digest", "module_digest")
        if name in a.custom_properties
    }

    def likeness(other: str) -> tuple[int, float]:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(digest, other, strict=False))
        return len(list(same)), difflib.SequenceMatcher(None, digest, other).ratio()

    nearest = sorted(sorted(known), key=likeness, reverse=True)[:_NEAREST]
    return f"the nearest: {', '.join(nearest)}" if nearest else "it has no module at all"
