"""Publishing: a module becomes the next version of a name, complete or not at all."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hub_tfx._files import MAKE_ROOM
from hub_tfx._files import why as why_of
from hub_tfx.errors import ConfigError, NotAModuleError, OutputError
from hub_tfx.module.check import check
from hub_tfx.module.manifest import FileEntry, Manifest, hash_file, is_inside
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository import layout
from hub_tfx.repository.card import read_card
from hub_tfx.repository.changes import set_alias
from hub_tfx.repository.facts import ModuleFacts, module_facts
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName, check_settable, parse_version
from hub_tfx.repository.records import now, whoami
from hub_tfx.repository.signing import check_private_key, sign_version
from hub_tfx.repository.storage import Content, Storage, handle_of, open_storage
from hub_tfx.repository.variants.make import make_variants
from hub_tfx.repository.versions import check_spelling, found, holding, numbers, prepare, taken
from hub_tfx.store.archive import pack

_log = logging.getLogger(__name__)
_MUST_PASS = ("assets",)
"""Checks that a module has to pass: without them it works on its author's machine only."""


@dataclass(frozen=True)
class PublishedVersion:
    """A version that is published now.

    Attributes:
      handle: handle by which it is resolved, with its number.
      name: ``publisher/model``.
      version: 1, 2, 3 ...
      digest: SHA-256 of the module's manifest, in hex.
      created: whether this call made it; False where these bytes were published before.
      signed_by: fingerprint of the public key that belongs to the one it was signed with; None
        where none was given.
    """

    handle: str
    name: str
    version: int
    digest: str
    created: bool
    signed_by: str | None = None


def publish(
    module: ResolvedModule,
    repository: str | os.PathLike[str],
    name: str,
    *,
    card: str | os.PathLike[str],
    version: int | None = None,
    aliases: Iterable[str] = (),
    facts: ModuleFacts | None = None,
    beside: Mapping[str, Path] | None = None,
    variants: Iterable[str] = (),
    imports: Iterable[str] = (),
    archive: bool = True,
    sign_key: str | os.PathLike[str] | None = None,
    why: str = "published",
    who: str | None = None,
) -> PublishedVersion:
    """Publishes a module under a name, with the next free number.

    The same bytes again are the same version, whichever holds them; its card and what lies beside
    it stay as they were published.

    Args:
      module: the module; its bytes are compared with its digest again.
      repository: directory, ``s3://…`` or ``gs://…``; made where it is missing.
      name: ``publisher/model``.
      card: path of the card, Markdown with YAML front matter.
      version: number that the version must get; the next free one if None.
      aliases: aliases that stand for the version afterwards.
      facts: what is known of the module; what can be read from it alone if None. The handle is
        left out, since repositories move.
      beside: path in the version, such as ``variants/tflite/model.tflite`` -> file.
      variants: formats that the module is published in, too; see ``variants.make.KINDS``.
      imports: packages that register the module's ops, where variants are made.
      archive: whether to write the archive that TensorFlow Hub loads from a web server.
      sign_key: file with the private key that signs the version; see ``signing``. If None,
        HUB_TFX_SIGN_KEY names it, and where that is not set nothing is signed.
      why: reason in the record of an alias.
      who: who publishes; the user of this process if None.

    Raises:
      HandleError: name or alias breaks a rule.
      CardError: the card has errors.
      ConfigError: a number, an alias or a variant is wrong.
      VariantError: the module cannot be had in one of these formats. Nothing is published then.
      NotAModuleError, DigestMismatchError: the directory is not the module that was resolved.
      TakenError: the number is taken by other bytes, or the name differs from one that is there
        only in upper and lower case.
      InputError, OutputError: a file cannot be read or written. Nothing is published then.
    """
    parsed, storage = ModuleName.parse(name), open_storage(repository)
    sign_key = sign_key or os.environ.get("HUB_TFX_SIGN_KEY") or None
    _check_apart(module, storage)
    wanted = [check_settable(alias) for alias in aliases]
    if version is not None:
        parse_version(str(version))
    if facts is not None and facts.digest != module.digest:
        raise ConfigError(f"the facts are those of {facts.digest}, not of {module.digest}")
    text = read_card(card).source
    if sign_key is not None:
        check_private_key(sign_key)
    manifest = _checked(module)
    made, created = _published(storage, parsed, manifest, version), False
    signed_by = None
    if made is None or sign_key is not None:
        with storage.work() as work:
            tried = make_variants(module, variants, work / layout.VARIANTS, imports)
            known = replace(
                facts or module_facts(module, manifest), handle=None, variants=tried.facts
            )
            content = {f"{layout.MODULE}/{e.path}": module.path / e.path for e in manifest.files}
            content |= _beside(module, work, text, known, archive=archive)
            content |= tried.files
            content |= beside or {}
            draft = _draft(parsed, manifest, content, who or whoami())
            if made is None:
                check_spelling(storage, parsed)  # Before a long copy, and again after it.
                storage.push(draft, content, work)
                prepare(storage, parsed)
                made, created = _commit(storage, draft, work, version)
            if sign_key is not None:
                _check_ours(draft, made)
                signed_by = sign_version(storage, parsed, made.number, sign_key, who)
    if not created:
        storage.finish(made)
        _warn_of_missing(made, variants)
    for alias in wanted:
        set_alias(storage, parsed, alias, made.number, why, who)
    handle = handle_of(storage, made.key)
    return PublishedVersion(handle, name, made.number, made.digest, created, signed_by)


def _check_apart(module: ResolvedModule, storage: Storage) -> None:
    """Raises ConfigError for a repository in the module, which would grow by what it holds."""
    is_here = "://" not in storage.url
    if (
        is_here
        and Path(os.path.realpath(module.path)) in Path(os.path.realpath(storage.url)).parents
    ):
        raise ConfigError(
            f"the repository {storage.url} is inside the module {module.path}: name another one"
        )


def _checked(module: ResolvedModule) -> Manifest:
    """The manifest of a module whose bytes are those that were resolved, and fit to be passed on.

    Raises:
      NotAModuleError, DigestMismatchError: they are not.
    """
    manifest = module.verify()
    report = check(module.path, run=False)
    if failed := [c for c in report.checks if c.name in _MUST_PASS and c.outcome == "fail"]:
        raise NotAModuleError(f"{module.path}: {failed[0].why}: {failed[0].fix}")
    return manifest


def _published(
    storage: Storage, name: ModuleName, manifest: Manifest, version: int | None
) -> Version | None:
    """The version that has these bytes already; raises TakenError where its number is another."""
    if version is None:
        return holding(storage, name, manifest.digest)
    there = found(storage, name, version)
    if there is not None and there.digest != manifest.digest:
        raise taken(storage, there)
    return there


def _beside(
    module: ResolvedModule, work: Path, card: bytes, facts: ModuleFacts, *, archive: bool
) -> dict[str, Path]:
    """Makes what lies beside the module, in the folder of work."""
    files = {name: work / name for name in (layout.CARD, layout.FACTS)}
    try:
        files[layout.CARD].write_bytes(card)
        files[layout.FACTS].write_text(facts.to_json())
    except OSError as error:
        raise OutputError(f"{work} cannot be written: {why_of(error)}; {MAKE_ROOM}") from error
    if archive:
        files[layout.ARCHIVE] = work / layout.ARCHIVE
        pack(module.path, files[layout.ARCHIVE])
    return files


def _draft(name: ModuleName, manifest: Manifest, content: Content, who: str) -> Version:
    """The version as its marker is to be, except for its number."""
    beside = sorted(
        FileEntry(path, *hash_file(file))
        for path, file in content.items()
        if not path.startswith(f"{layout.MODULE}/")
    )
    for entry in beside:
        if not layout.lies_beside(entry.path) or not is_inside(entry.path):
            raise ConfigError(f"{entry.path!r} cannot lie beside a module: begin with variants/")
    return Version(name, 0, manifest, tuple(beside), who, now())


def _warn_of_missing(made: Version, variants: Iterable[str]) -> None:
    there = {entry.path.split("/")[1] for entry in made.variants}
    if missing := sorted(set(variants) - there):
        _log.warning(
            "%s was published without the variant %s, and never changes", made.key, missing[0]
        )


def _check_ours(draft: Version, made: Version) -> None:
    """Raises ConfigError where somebody else has put other files beside the same module: whoever
    signs a version answers for these, too. Derived facts may differ."""
    ours, theirs = set(draft.beside), set(made.beside)
    differs = sorted(entry.path for entry in ours ^ theirs if entry.path != layout.FACTS)
    if differs:
        raise ConfigError(
            f"{made.key} is not signed: it was published by {made.who} with another {differs[0]} "
            "than this one: sign with the card, variants and archive that it has, or publish "
            "another module"
        )


def _commit(
    storage: Storage, draft: Version, work: Path, wanted: int | None
) -> tuple[Version, bool]:
    """The version that has the bytes of a draft afterwards, and whether it was made here."""
    looked_at = 0
    while True:
        number = wanted
        if number is None:  # Another publisher of the same bytes may have been first.
            if there := holding(storage, draft.name, draft.digest, looked_at):
                return there, False
            looked_at = ([0, *numbers(storage, draft.name)])[-1]
            number = looked_at + 1
        version = replace(draft, number=number)
        if storage.commit(version, work):
            return version, True
        taken_by = found(storage, draft.name, number)
        if taken_by is not None and taken_by.digest == draft.digest:
            return taken_by, False
        if wanted is not None:
            raise taken(storage, taken_by or version)
