"""Embeddings become the next generation of a root, complete or not at all.

A push takes the next number, brings every file, and creates the marker if it is absent. A push that
a later one overtakes is given up: whoever tidies up creates the same marker in its place, and one
of the two is first. So neither locks nor clocks say who is alive, and of two runs that overlap the
one with the higher number is the latest.

A generation is a copy, since the artifacts of a pipeline are ML Metadata's to remove. On a disk it
is made of hard links, since an output never changes in place; in a bucket the store copies it where
it can.
"""

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystem import BeamIOError

from hub_tfx.data.files import real_path
from hub_tfx.data.filesystems import is_local, verified_copy
from hub_tfx.embed.digests import DIGEST_BYTES
from hub_tfx.embed.generations import (
    CLAIM,
    DEFAULT_KEEP,
    GIVEN_UP,
    LATEST,
    LAYOUT,
    ROOT_MARKER,
    Generation,
    PushedGeneration,
    check_keep,
    check_root,
    is_root,
    marker_key,
    newest,
    numbers,
    open_root,
    read_marker,
)
from hub_tfx.embed.manifest import OutputManifest
from hub_tfx.embed.output.layout import DIGESTS, EMBEDDINGS, OutputLayout, committed_outputs
from hub_tfx.embed.output.one_module import check_one_module
from hub_tfx.errors import ConfigError, HubTfxError, InputError, OutputError
from hub_tfx.repository.layout import RESERVED
from hub_tfx.repository.records import now, whoami
from hub_tfx.repository.storage import Storage

_log = logging.getLogger(__name__)
_FIX = "make the embeddings again"
_Outputs = Sequence[tuple[OutputLayout, OutputManifest]]


def push_generation(
    root: str | os.PathLike[str],
    embeddings: str,
    *,
    keep: int = DEFAULT_KEEP,
    run: str | None = None,
    splits: Collection[str] | None = None,
) -> PushedGeneration:
    """Makes embeddings the latest generation of a root, and removes those that are over.

    Args:
      root: directory, ``s3://…`` or ``gs://…``; made where it is missing.
      embeddings: an output of ``embed_files``, or an Examples artifact of EmbeddingGenerator, on
        any Beam filesystem.
      keep: how many generations stay, the latest among them.
      run: id of the run that made them; that of the job if None.
      splits: names of the splits that there must be; whatever there is if None.

    Raises:
      ConfigError: keep is below 1, or the root is no place for embeddings.
      InputError: the embeddings are not complete, or of two modules.
      DigestMismatchError: a file of the embeddings, or a marker of the root, is damaged.
      OutputError: the root cannot be written, or holds what is not ours. Nothing is pushed.
    """
    check_keep(keep)
    storage = open_root(root)
    outputs = _complete_outputs(embeddings, splits)
    _check_apart(storage, embeddings)
    _prepare(storage)
    latest, content = newest(storage), _content(outputs)
    created = False
    if latest is None or latest.content != content:
        created = _push(storage, outputs, embeddings, content, run)
        latest = newest(storage)
    assert latest is not None
    _finish(storage, keep)
    return PushedGeneration(latest, created, f"{storage.url}/{latest.number}")


def _complete_outputs(embeddings: str, splits: Collection[str] | None) -> _Outputs:
    try:
        outputs = committed_outputs(embeddings)
    except (OSError, BeamIOError) as error:
        raise InputError(f"{embeddings} cannot be read: {error}; {_FIX}") from error
    found = {layout.split for layout, _ in outputs}
    missing = set(splits or ()) - found
    if not outputs or missing:
        what = f"the split {min(missing)!r}" if missing and outputs else "a manifest"
        raise InputError(f"{embeddings} does not hold finished embeddings: it lacks {what}; {_FIX}")
    check_one_module(outputs)
    return outputs


def _check_apart(storage: Storage, embeddings: str) -> None:
    if real_path(storage.url).startswith(os.path.join(real_path(embeddings), "")):
        raise ConfigError(
            f"the root {storage.url} is inside the embeddings {embeddings}: name another one"
        )


def _prepare(storage: Storage) -> None:
    """Makes a place a root.

    Raises:
      OutputError: it holds what is not ours, or its store cannot let one of two pushes win.
    """
    foreign = [name for name in storage.names("") if name != RESERVED]
    if not is_root(storage):  # Asked afterwards: another push may make it one meanwhile.
        if foreign:
            raise OutputError(
                f"{storage.url} holds {foreign[0]!r}, which is not a generation: name a new "
                "directory for embeddings"
            )
        text = json.dumps({"layout": LAYOUT}).encode() + b"\n"
        if storage.create(ROOT_MARKER, text) and storage.create(ROOT_MARKER, text):
            raise OutputError(
                f"{storage.url} cannot hold generations: its store overwrites a file that is to be "
                "created only where it is absent: use a newer server, or a directory"
            )
    check_root(storage)


def _content(outputs: _Outputs) -> str:
    """A digest of what embeddings are, whoever made them when."""
    described = [
        {
            "split": layout.split,
            "module": manifest.module.digest,
            "preprocessor": manifest.preprocessor and manifest.preprocessor.digest,
            "signature": manifest.signature,
            "columns": manifest.columns_dict(),
            **_rows(layout, manifest),
        }
        for layout, manifest in outputs
    ]
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _rows(layout: OutputLayout, manifest: OutputManifest) -> Mapping[str, Any]:
    """What tells the rows of an output from others.

    Equal tf.Examples have several encodings, as maps in protos have no order. Their inputs, which
    are artifacts as well, never change: what feeds the same, from the same files, is the same.
    """
    if layout.split and all(file.digests_sha256 for file in manifest.files):
        fed = [file.digests_sha256 for file in manifest.files]
        return {"fed": fed, "inputs": dict(manifest.inputs), "config": dict(manifest.config)}
    return {"files": [(file.name, file.sha256) for file in manifest.files]}


# --- One generation ------------------------------------------------------------------------------


def _push(
    storage: Storage, outputs: _Outputs, embeddings: str, content: str, run: str | None
) -> bool:
    """Brings a generation; whether it became one before a later one did."""
    number = _claim(storage)
    try:
        for layout, manifest in outputs:
            for file in _files(layout, manifest, embeddings):
                _bring(storage, f"{number}/{file.key}", file)
            key = _below(embeddings, layout.manifest)
            storage.create(f"{number}/{key}", manifest.to_json().encode())
        generation = _generation(number, outputs, embeddings, content, run)
        created = _is_complete(storage, number, outputs, embeddings) and storage.create(
            marker_key(number), generation.to_json().encode()
        )
    except BaseException:
        with suppress(HubTfxError):  # The next push removes it.
            _remove(storage, number)
        raise
    if not created:
        _log.warning(
            "%s: a later generation was complete before generation %d, which is given up",
            *(storage.url, number),
        )
    return created


def _claim(storage: Storage) -> int:
    """The next number, which nobody else gets."""
    text = json.dumps({"who": whoami(), "when": now()}).encode() + b"\n"
    while True:
        number = max(numbers(storage), default=0) + 1
        if storage.create(f"{number}/{CLAIM}", text):
            return number


@dataclass(frozen=True)
class _File:
    """A file of an output: its path in it, where it is, and what it is to be."""

    key: str
    path: str
    sha256: str
    size_bytes: int


def _files(layout: OutputLayout, manifest: OutputManifest, embeddings: str) -> Iterator[_File]:
    """The files with vectors and those with the digests of their rows, without dead letters."""
    vectors = layout.parts_named(manifest, EMBEDDINGS)
    for path, part in zip(vectors, manifest.files, strict=True):
        yield _File(_below(embeddings, path), path, part.sha256, part.size_bytes)
    with_digests = [part for part in manifest.files if part.digests_sha256]
    digests = layout.parts_named(manifest, DIGESTS)
    for path, part in zip(digests, with_digests, strict=True):
        assert part.digests_sha256 is not None
        size_bytes = part.rows * DIGEST_BYTES
        yield _File(_below(embeddings, path), path, part.digests_sha256, size_bytes)


def _below(embeddings: str, path: str) -> str:
    return path[len(embeddings) :].lstrip("/")


def _bring(storage: Storage, key: str, file: _File) -> None:
    if not is_local(file.path) and storage.put(key, file.path):
        return  # By the store itself.
    with verified_copy(file.path, file.sha256, _FIX) as path:
        storage.put(key, path)


def _is_complete(storage: Storage, number: int, outputs: _Outputs, embeddings: str) -> bool:
    """Whether everything is there, unless a later push has begun to remove it.

    Raises:
      InputError: it is not, and nobody has.
    """
    there = dict(storage.files(str(number)))
    for layout, manifest in outputs:
        for file in _files(layout, manifest, embeddings):
            if there.get(f"{number}/{file.key}") != file.size_bytes:
                if storage.read(marker_key(number)) is not None:
                    return False
                raise InputError(f"{file.path} has changed since it was written: {_FIX}")
    return True


def _generation(
    number: int, outputs: _Outputs, embeddings: str, content: str, run: str | None
) -> Generation:
    manifest = outputs[0][1]  # What the splits have in common.
    return Generation(
        number=number,
        module=manifest.module,
        preprocessor=manifest.preprocessor.digest if manifest.preprocessor else None,
        signature=manifest.signature,
        embedding_dim=manifest.embedding_dim,
        rows=sum(of_split.rows for _, of_split in outputs),
        splits=tuple(layout.split for layout, _ in outputs if layout.split),
        content=content,
        source=embeddings,
        run=run or manifest.run,
        who=whoami(),
        when=now(),
    )


# --- After it ------------------------------------------------------------------------------------


def _finish(storage: Storage, keep: int) -> None:
    """Names the latest generation, and removes what is over and what killed pushes left."""
    storage.replace(LATEST, lambda before: _if_other(before, storage))
    taken = numbers(storage)
    whole = [number for number in taken if read_marker(storage, number) is not None]
    for number in taken:
        if number >= whole[-1] or number in whole[-keep:]:
            continue
        if number in whole:
            storage.remove(marker_key(number))  # First, so that a reader sees all of it or nothing.
        elif any(storage.files(str(number))) and not _give_up(storage, number):
            continue
        _remove(storage, number)
    storage.sweep()


def _if_other(before: bytes | None, storage: Storage) -> bytes | None:
    latest = newest(storage)
    assert latest is not None
    text = latest.to_json().encode()
    return None if before == text else text


def _give_up(storage: Storage, number: int) -> bool:
    """Sees to it that a generation is never complete; False where it has become so just now."""
    key = marker_key(number)
    return storage.create(key, GIVEN_UP) or storage.read(key) == GIVEN_UP


def _remove(storage: Storage, number: int) -> None:
    """Removes all of a generation but what is in the place of its marker."""
    for key, _ in list(storage.files(str(number))):
        if key != marker_key(number):
            storage.remove(key)
    storage.remove(str(number))
