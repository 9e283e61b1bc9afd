"""ModuleCache: handle -> verified directory, kept under the digest of its files.

    <root>/hub_tfx/
      modules/<digest>/       see entry.py; appears by one rename, complete
      handles/<key>.json      which digest a handle gave
      quarantine/             damaged entries, kept for inspection
      locks/, tmp/            used by running processes; may be deleted when there are none

Two processes that race write the same bytes under the same name, and the loser of the rename takes
the winner's. So nothing depends on the lock, which only saves the second download.
"""

import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

from hub_tfx._files import odd_name, read_regular, remove_older, replacing, sync, why
from hub_tfx.errors import (
    DigestMismatchError,
    FetchError,
    HubTfxError,
    NotAModuleError,
    OutputError,
)
from hub_tfx.module.files import modules_below
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest, hash_file, is_digest, parse_digest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store.entry import (
    DamagedEntryError,
    Entry,
    finish_entry,
    module_path,
    read_entry,
)
from hub_tfx.store.fetch.base import (
    Fetcher,
    Pinned,
    PinningFetcher,
    TaggingFetcher,
    fetcher_for,
)
from hub_tfx.store.fetch.local import checked_source

_log = logging.getLogger(__name__)
_COMMIT_ATTEMPTS = 3
NewBytes = Literal["refuse", "follow"]
"""What to do where a handle stands for other bytes than it did before."""


class ModuleCache:
    """Modules by digest, and which digest each handle gave.

    A remote handle is fetched once; from then on it is what it was, with or without a version, as
    with TF Hub, unless ``new_bytes`` has the server asked. A local directory or archive is followed
    as it changes. An alias of a repository is followed, too: it becomes a version's number first,
    and that version never changes.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        fetcher: Fetcher | None = None,
        lock_timeout_s: float = 600,
        verify_key: str | os.PathLike[str] | None = None,
    ):
        """A cache in a directory. The disk is not touched yet.

        Args:
          root: where the cache is; if None, TFHUB_CACHE_DIR, otherwise ``~/.cache/hub_tfx``. TF
            Hub's own files may be there, too.
          fetcher: fetches for every handle, in place of the registered fetchers.
          lock_timeout_s: how long to wait for another process that fetches the same handle.
          verify_key: file with the public key by which every module of a repository must be signed;
            if None, HUB_TFX_VERIFY_KEY names it, and where that is not set none need be.

        Raises:
          OutputError: the root is not a path on this machine, or not valid UTF-8.
        """
        root = os.fspath(root) if root is not None else _default_root()
        if "://" in root:
            raise OutputError(f"the cache {root} is not a local directory: {_WHAT_TO_SET}")
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        if (shown := odd_name(self.root)) is not None:
            raise OutputError(f"the cache {shown} has a name that is not UTF-8: {_WHAT_TO_SET}")
        self._base = self.root / "hub_tfx"
        self._fetcher = fetcher
        self._lock_timeout_s = lock_timeout_s
        key = verify_key or os.environ.get("HUB_TFX_VERIFY_KEY") or None
        self._verify_key = None if key is None else Path(os.path.abspath(key))

    def resolve(
        self,
        handle: str | ModuleHandle,
        *,
        digest: str | None = None,
        new_bytes: NewBytes | None = None,
    ) -> ResolvedModule:
        """Returns a module from the cache, and fetches it first where it is missing.

        Args:
          handle: URL, archive or directory.
          digest: digest that the module must have, 64 hex digits. If the cache has it already, the
            handle is not looked at.
          new_bytes: what to do where a remote handle stands for other bytes than before: ``refuse``
            or ``follow`` them. The server is asked then, and the module is fetched again unless its
            entity tag shows that it is the same. None does not look.

        Raises:
          HandleError, ConfigError: handle or digest cannot be read.
          DigestMismatchError: the module's digest is not the pinned one, or not the one before.
          UntrustedError: it is a module of a repository, and not signed by the key that is set.
          FetchError, ArchiveError, NotAModuleError, UnsafeArchiveError, RefusedError, InputError:
            the module cannot be fetched; see Fetcher.fetch.
          OutputError: the cache cannot be written.
        """
        if isinstance(handle, str):
            handle = ModuleHandle.parse(handle)
        pinned = None if digest is None else parse_digest(digest)
        fetcher = self._fetcher
        if handle.is_in_repository:
            fetcher = fetcher or fetcher_for(handle)
            if isinstance(fetcher, PinningFetcher):
                return self._of_repository(handle, fetcher, pinned)
        return self._resolve(handle, pinned, new_bytes)

    def take(
        self, digest: str, fetcher: Fetcher, handles: Iterable[ModuleHandle] = ()
    ) -> ResolvedModule:
        """Puts a module that was brought here otherwise under its digest.

        Args:
          digest: digest that it must have.
          fetcher: gives its files, where they are not there yet.
          handles: remote handles under which it is found from now on.

        Raises:
          DigestMismatchError: it has another digest, or a handle stood for another module before.
          ArchiveError, NotAModuleError, UnsafeArchiveError, InputError: see Fetcher.fetch.
          OutputError: the cache cannot be written.
        """
        handles = tuple(handles)
        source = handles[0] if handles else ModuleHandle("sha256", "", digest)
        try:
            self._prepare()
            for handle in handles:
                self._check_digest(handle, digest, None)
            entry, _ = self._entry(digest)
            was_there = entry is not None
            if entry is None:
                with self._work_directory() as work:
                    entry = _fetch(source, fetcher, work)
                    self._check_digest(source, entry.manifest.digest, digest)
                    entry = self._commit(entry)
            for handle in handles:
                self._write_record(handle, digest, "")
        except OSError as error:
            message = f"{source}: the cache {self.root} cannot be used: {why(error)}"
            raise OutputError(f"{message}; {_WHAT_TO_SET}") from error
        return _resolved(source, entry, cache_hit=was_there)

    def _of_repository(
        self, handle: ModuleHandle, fetcher: PinningFetcher, pinned: str | None
    ) -> ResolvedModule:
        """A module of a repository, which says by itself which bytes a version has.

        One that lies on this machine is taken where it is, and hashed: a copy would need room, and
        a hard link would let a change of the repository change the cache.
        """
        try:
            known = fetcher.pin(handle, self._verify_key)
        except FetchError as error:
            may_hit = handle.is_versioned and self._verify_key is None
            hit = self._look_up(handle, pinned)[0] if may_hit else None
            if hit is None:
                raise
            _log.warning("%s: taken from the cache: %s", handle, error)
            return hit
        if pinned not in (None, known.digest):
            _refuse_pin(handle, known.digest, str(pinned))
        if known.directory is None:
            module = self._resolve(known.handle, known.digest)
            if known.signed_by and module.cache_hit:  # A hit compares names and sizes.
                module.verify()
            return replace(module, signed_by=known.signed_by)
        try:
            module = ResolvedModule.of_directory(known.directory, str(known.handle))
        except NotAModuleError as error:
            raise _damaged(known, str(error)) from error
        if module.digest != known.digest:
            raise _damaged(known, f"digest {module.digest}, not {known.digest}")
        return replace(module, cache_hit=True, signed_by=known.signed_by)

    def _resolve(
        self, handle: ModuleHandle, pinned: str | None, new_bytes: NewBytes | None = None
    ) -> ResolvedModule:
        looks = new_bytes is not None and pinned is None and not handle.is_local
        try:
            hit, damage = self._look_up(handle, pinned)
            if hit is not None and not looks:
                return hit
            fetcher = fetcher_for(handle) if self._fetcher is None else self._fetcher
            if looks:
                return self._look_again(handle, fetcher, follow=new_bytes == "follow")
            self._prepare()
            if handle.is_local:  # Looking it up means hashing it, and copying it costs no more.
                return self._fill(handle, fetcher, pinned, damage)
            with self._lock(handle):
                hit, damage = self._look_up(handle, pinned)
                return hit or self._fill(handle, fetcher, pinned, damage)
        except OSError as error:
            message = f"{handle}: the cache {self.root} cannot be used: {why(error)}"
            raise OutputError(f"{message}; {_WHAT_TO_SET}") from error

    def _look_again(
        self, handle: ModuleHandle, fetcher: Fetcher, *, follow: bool
    ) -> ResolvedModule:
        """The module as the server has it now, which is fetched unless nothing can have changed."""
        tag = fetcher.entity_tag(handle) if isinstance(fetcher, TaggingFetcher) else ""
        self._prepare()
        with self._lock(handle):
            hit, damage = self._look_up(handle, None)
            if hit is not None and tag and self._record(handle).get("entity_tag") == tag:
                return hit
            # The tag is older than the bytes, so that it never vouches for those that came later.
            return self._fill(handle, fetcher, None, damage, entity_tag=tag, follow=follow)

    # --- Looking up: reads only, so that it works in a read-only cache --------------------------

    def _look_up(
        self, handle: ModuleHandle, pinned: str | None
    ) -> tuple[ResolvedModule | None, str]:
        """The module in the cache; or None and, if there is an entry, what is wrong with it."""
        if pinned is not None:
            entry, damage = self._entry(pinned)
            if entry is None:
                self._check_source(handle, pinned)
        else:
            known = self._known_digest(handle)
            entry, damage = self._entry(known) if known is not None else (None, "")
        return (_resolved(handle, entry, cache_hit=True) if entry is not None else None), damage

    def _entry(self, digest: str) -> tuple[Entry | None, str]:
        try:
            return read_entry(self._base / "modules" / digest), ""
        except DamagedEntryError as damage:
            return None, str(damage)

    def _known_digest(self, handle: ModuleHandle) -> str | None:
        """The digest as far as it is known without fetching: from the source, or from earlier."""
        if not handle.is_local:
            return self._record(handle).get("digest")
        source = checked_source(handle)
        if source.is_dir():
            return Manifest.of_directory(source).digest
        record = self._record(handle)
        return record.get("digest") if record.get("archive_sha256") == _sha256(handle) else None

    def _check_source(self, handle: ModuleHandle, pinned: str) -> None:
        """A local source that is known to have another digest need not be copied."""
        if handle.is_local and (known := self._known_digest(handle)) not in (None, pinned):
            _refuse_pin(handle, str(known), pinned)

    def _record(self, handle: ModuleHandle) -> dict[str, str]:
        """The digest that the handle gave before; empty if it is not known or not readable."""
        try:
            record = json.loads(read_regular(self._record_path(handle)))
        except (OSError, ValueError):
            return {}
        if not isinstance(record, dict) or not is_digest(record.get("digest")):
            return {}
        return record

    def _record_path(self, handle: ModuleHandle) -> Path:
        return self._base / "handles" / f"{handle.key}.json"

    # --- Filling --------------------------------------------------------------------------------

    def _prepare(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise OutputError(f"the cache {self.root} is not a directory: {_WHAT_TO_SET}")
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._base.mkdir(mode=0o700, exist_ok=True)
        for name in ("modules", "handles", "quarantine", "locks", "tmp"):
            (self._base / name).mkdir(exist_ok=True)
        remove_older(self._base / "tmp", "*", _KILLED_S)

    def _fill(
        self,
        handle: ModuleHandle,
        fetcher: Fetcher,
        pinned: str | None,
        damage: str,
        *,
        entity_tag: str = "",
        follow: bool = False,
    ) -> ResolvedModule:
        before = _sha256(handle)
        try:
            with self._work_directory() as work:
                entry = _fetch(handle, fetcher, work)
                if not follow:
                    self._check_digest(handle, entry.manifest.digest, pinned)
                entry = self._commit(entry)
        except OutputError as error:  # Names a temporary file only.
            raise OutputError(f"{handle}: the cache {self.root} cannot take it: {error}") from error
        except HubTfxError as error:
            if not damage:
                raise
            note = f"the copy in the cache is damaged ({damage}) and cannot be replaced"
            fix = "connect to the network, or give the module's directory instead"
            raise type(error)(f"{error}; {note}: {fix}") from error
        # An archive that was replaced meanwhile may be either of the two.
        archive_sha256 = before if before == _sha256(handle) else ""
        self._write_record(handle, entry.manifest.digest, archive_sha256, entity_tag)
        return _resolved(handle, entry, cache_hit=False)

    def _check_digest(self, handle: ModuleHandle, digest: str, pinned: str | None) -> None:
        if pinned is not None:
            if digest != pinned:
                _refuse_pin(handle, digest, pinned)
            return
        earlier = self._record(handle).get("digest", digest)
        if digest != earlier and not handle.is_local:
            raise DigestMismatchError(
                f"{handle}: its bytes have changed: the digest was {earlier} and is now {digest}; "
                "if that is intended, resolve it with --refresh, or pin the new digest once"
            )

    def _commit(self, entry: Entry) -> Entry:
        """Moves a finished entry to its place, where an equal one may have come first."""
        target = self._base / "modules" / entry.manifest.digest
        for _ in range(_COMMIT_ATTEMPTS):
            try:
                os.rename(entry.directory, target)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
            else:
                sync(target.parent)
                return replace(entry, directory=target)
            winner, damage = self._entry(target.name)
            if winner is not None:
                return winner
            self._quarantine(target, damage)
        raise OutputError(
            f"{target} keeps being damaged while it is replaced: end the programs that write "
            f"there, or {_WHAT_TO_SET}"
        )

    def _quarantine(self, directory: Path, damage: str) -> None:
        aside = self._base / "quarantine" / f"{directory.name}.{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):  # Another process was first.
            os.rename(directory, aside)
            _log.warning("damaged cache entry moved to %s: %s", aside, damage)

    def _write_record(
        self, handle: ModuleHandle, digest: str, archive_sha256: str, entity_tag: str = ""
    ) -> None:
        record = {"handle": str(handle), "digest": digest}
        if entity_tag:
            record["entity_tag"] = entity_tag
        if archive_sha256:
            record["archive_sha256"] = archive_sha256
        with replacing(self._record_path(handle)) as temporary:
            temporary.write_text(json.dumps(record))

    @contextmanager
    def _work_directory(self) -> Iterator[Path]:
        work = self._base / "tmp" / uuid.uuid4().hex
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    @contextmanager
    def _lock(self, handle: ModuleHandle) -> Iterator[None]:
        """Held by one process at a time; where the file system cannot lock, by every process."""
        from filelock import FileLock  # Takes longer to import than a hit takes.

        # A soft lock outlives its holder, and its age proves nothing.
        lock = FileLock(
            self._base / "locks" / f"{handle.key}.lock",
            timeout=self._lock_timeout_s,
            fallback_to_soft=False,
        )
        try:
            lock.acquire()
        except (OSError, NotImplementedError) as error:  # filelock.Timeout is an OSError.
            _log.info("%s: fetched without a lock: %s", handle, error)
        try:
            yield
        finally:
            lock.release()


_KILLED_S = 24 * 3600
"""Seconds after which a download that nothing was written to is taken for a killed process's."""
_WHAT_TO_SET = "set TFHUB_CACHE_DIR or --cache-dir to a directory that you may write"


def _default_root() -> str:
    if configured := os.environ.get("TFHUB_CACHE_DIR"):
        return configured
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return os.path.join(caches if os.path.isabs(caches) else "~/.cache", "hub_tfx")


def _fetch(handle: ModuleHandle, fetcher: Fetcher, work: Path) -> Entry:
    into, directory = work / "module", work / "entry"
    into.mkdir()
    fetcher.fetch(handle, into)
    # Apart from its scratch files, in case the fetcher left some.
    directory.mkdir()
    os.rename(into, module_path(directory))
    try:
        return finish_entry(directory)
    except NotAModuleError as error:
        module = module_path(directory)
        message = str(error).replace(str(module), str(handle))
        if folders := modules_below(module):
            message += f": pack what is in there, tar -C {folders[0]} -czf FILE ."
        else:
            message += ": check the handle, which must be that of a SavedModel"
        raise NotAModuleError(message) from error


def _damaged(known: Pinned, why: str) -> DigestMismatchError:
    return DigestMismatchError(
        f"{known.handle}: the files in {known.directory} are not those that were published "
        f"({why}): see `hub-tfx repo verify`, and copy the version from elsewhere"
    )


def _refuse_pin(handle: ModuleHandle, digest: str, pinned: str) -> NoReturn:
    raise DigestMismatchError(
        f"{handle}: its digest is {digest}, but {pinned} is pinned: do not "
        "use it until you know why, and change the pin if the new bytes are meant"
    )


def _sha256(handle: ModuleHandle) -> str:
    """SHA-256 of a local archive; empty for every other handle."""
    if not handle.is_local or not os.path.isfile(handle.path):
        return ""
    return hash_file(Path(handle.path))[1]


def _resolved(handle: ModuleHandle, entry: Entry, *, cache_hit: bool) -> ResolvedModule:
    return ResolvedModule(
        handle=str(handle),
        path=entry.path,
        digest=entry.manifest.digest,
        spec=entry.spec,
        cache_hit=cache_hit,
        size_bytes=entry.manifest.size_bytes,
    )
