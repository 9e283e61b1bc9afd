"""ModuleCache: handle -> verified directory, kept under the digest of its files.

folder.py says what lies where. Two processes that race write the same bytes under the same name,
and the loser of the rename takes the winner's. So nothing depends on the lock, which only saves the
second download.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

from hub_tfx._files import why
from hub_tfx.errors import (
    DigestMismatchError,
    FetchError,
    HubTfxError,
    NotAModuleError,
    OutputError,
    UnsafeModuleError,
)
from hub_tfx.module.files import modules_below
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import parse_digest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.store import leases
from hub_tfx.store.entries import commit_entry, find_entry
from hub_tfx.store.entry import Entry, finish_entry, module_path
from hub_tfx.store.fetch.base import (
    Fetcher,
    Pinned,
    PinningFetcher,
    TaggingFetcher,
    fetcher_for,
)
from hub_tfx.store.folder import WHAT_TO_SET, CacheFolder
from hub_tfx.store.records import (
    archive_sha256,
    archive_stamp,
    known_digest,
    record_of,
    write_record,
)
from hub_tfx.store.verdicts import verdict_of

_log = logging.getLogger(__name__)
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
        offline: bool | None = None,
        policy: SafetyPolicy | None = None,
    ):
        """A cache in a directory. The disk is not touched yet.

        Args:
          root: where the cache is, a path or ``file:///…``; if None, TFHUB_CACHE_DIR, otherwise
            ``~/.cache/hub_tfx``. TF Hub's own files may be there, too.
          fetcher: fetches for every handle, in place of the registered fetchers.
          lock_timeout_s: how long to wait for another process that fetches the same handle.
          verify_key: file with the public key by which every module of a repository must be signed;
            if None, HUB_TFX_VERIFY_KEY names it, and where that is not set none need be.
          offline: whether only what is in the cache or on this machine is taken; if None,
            HUB_TFX_OFFLINE says so.
          policy: which modules are refused for what is in their graphs, also those that are in the
            cache already; one without exceptions if None.

        Raises:
          OutputError, HandleError: the root is not a path on this machine, or not valid UTF-8.
        """
        self._folder = CacheFolder(root)
        self.root = self._folder.root
        self._fetcher = fetcher
        self._lock_timeout_s = lock_timeout_s
        self._offline = is_offline() if offline is None else offline
        key = verify_key or os.environ.get("HUB_TFX_VERIFY_KEY") or None
        self._verify_key = None if key is None else Path(os.path.abspath(key))
        self._policy = policy or SafetyPolicy()

    def resolve(
        self,
        handle: str | ModuleHandle,
        *,
        digest: str | None = None,
        new_bytes: NewBytes | None = None,
        verify: bool = False,
    ) -> ResolvedModule:
        """Returns a module from the cache, and fetches it first where it is missing.

        Args:
          handle: URL, archive or directory.
          digest: digest that the module must have, 64 hex digits. If the cache has it already, the
            handle is not looked at.
          new_bytes: what to do where a remote handle stands for other bytes than before: ``refuse``
            or ``follow`` them. The server is asked then, and the module is fetched again unless its
            entity tag shows that it is the same. None does not look.
          verify: whether to hash the module also where no digest is given. For whoever promises the
            digest to others: otherwise a hit believes the sizes, times and inodes of the files.
            Either way this process hashes a file that stays as it is once.

        Raises:
          HandleError, ConfigError: handle or digest cannot be read.
          DigestMismatchError: the module's digest is not the pinned one, or not the one before.
          UntrustedError: it is a module of a repository, and not signed by the key that is set.
          RefusedError: others may write to the cache.
          UnsafeModuleError: the policy refuses it; nothing of it is kept.
          FetchError, ArchiveError, NotAModuleError, UnsafeArchiveError, RefusedError, InputError:
            the module cannot be fetched; see Fetcher.fetch.
          OutputError: the cache cannot be written.
        """
        if isinstance(handle, str):
            handle = ModuleHandle.parse(handle)
        pinned = None if digest is None else parse_digest(digest)
        full = verify or pinned is not None
        fetcher = self._fetcher
        if handle.is_in_repository:
            fetcher = fetcher or fetcher_for(handle)
            if isinstance(fetcher, PinningFetcher):
                return self._of_repository(handle, fetcher, pinned, full)
        return self._resolve(handle, pinned, new_bytes, full=full)

    def release(self) -> None:
        """Lets go of the modules that this process resolved: from now on they may be pruned.

        The end of the process does so as well.
        """
        leases.release(self._folder.leases)

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
          UnsafeModuleError: the policy refuses it; nothing of it is kept.
          ArchiveError, NotAModuleError, UnsafeArchiveError, InputError: see Fetcher.fetch.
          OutputError: the cache cannot be written.
        """
        handles = tuple(handles)
        source = handles[0] if handles else ModuleHandle("sha256", "", digest)
        try:
            self._folder.prepare()
            for handle in handles:
                self._check_digest(handle, digest, None)
            entry, _ = find_entry(self._folder, digest, full=True)
            was_there = entry is not None
            if entry is not None:
                self._admit(source, entry)
            else:
                with self._folder.work_directory() as work:
                    entry = _fetch(source, fetcher, work)
                    self._check_digest(source, entry.manifest.digest, digest)
                    self._admit(source, entry)
                    entry = commit_entry(self._folder, entry)
            for handle in handles:
                write_record(self._folder, handle, digest)
        except OSError as error:
            message = f"{source}: the cache {self.root} cannot be used: {why(error)}"
            raise OutputError(f"{message}; {WHAT_TO_SET}") from error
        return _resolved(source, entry, cache_hit=was_there)

    def _of_repository(
        self, handle: ModuleHandle, fetcher: PinningFetcher, pinned: str | None, full: bool
    ) -> ResolvedModule:
        """A module of a repository, which says by itself which bytes a version has.

        One that lies on this machine is taken where it is, and hashed: a copy would need room, and
        a hard link would let a change of the repository change the cache.
        """
        try:
            self._check_online(handle)
            known = fetcher.pin(handle, self._verify_key)
        except FetchError as error:
            may_hit = handle.is_versioned and self._verify_key is None
            hit = self._look_up(handle, pinned, full)[0] if may_hit else None
            if hit is None:
                raise
            _log.warning("%s: taken from the cache: %s", handle, error)
            return hit
        if pinned not in (None, known.digest):
            _refuse_pin(handle, known.digest, str(pinned))
        if known.directory is None:
            module = self._resolve(known.handle, known.digest, full=True)
            return replace(module, signed_by=known.signed_by)
        try:
            module = ResolvedModule.of_directory(known.directory, str(known.handle), self._policy)
        except NotAModuleError as error:
            raise _damaged(known, str(error)) from error
        if module.digest != known.digest:
            raise _damaged(known, f"digest {module.digest}, not {known.digest}")
        return replace(module, cache_hit=True, signed_by=known.signed_by)

    def _resolve(
        self,
        handle: ModuleHandle,
        pinned: str | None,
        new_bytes: NewBytes | None = None,
        *,
        full: bool,
    ) -> ResolvedModule:
        looks = new_bytes is not None and pinned is None and not handle.is_local
        try:
            self._folder.check_owner()
            hit, damage = self._look_up(handle, pinned, full)
            if hit is not None and not looks:
                return hit
            self._check_online(handle, damage, is_there=hit is not None)
            fetcher = fetcher_for(handle) if self._fetcher is None else self._fetcher
            if looks:
                return self._look_again(handle, fetcher, full, follow=new_bytes == "follow")
            self._folder.prepare()
            if handle.is_local:  # Looking it up means hashing it, and copying it costs no more.
                return self._fill(handle, fetcher, pinned, damage)
            with self._folder.lock(handle.key, self._lock_timeout_s):
                hit, damage = self._look_up(handle, pinned, full)
                return hit or self._fill(handle, fetcher, pinned, damage)
        except OSError as error:
            message = f"{handle}: the cache {self.root} cannot be used: {why(error)}"
            raise OutputError(f"{message}; {WHAT_TO_SET}") from error

    def _look_again(
        self, handle: ModuleHandle, fetcher: Fetcher, full: bool, *, follow: bool
    ) -> ResolvedModule:
        """The module as the server has it now, which is fetched unless nothing can have changed."""
        tag = fetcher.entity_tag(handle) if isinstance(fetcher, TaggingFetcher) else ""
        self._folder.prepare()
        with self._folder.lock(handle.key, self._lock_timeout_s):
            hit, damage = self._look_up(handle, None, full)
            if hit is not None and tag and record_of(self._folder, handle).get("entity_tag") == tag:
                return hit
            # The tag is older than the bytes, so that it never vouches for those that came later.
            return self._fill(handle, fetcher, None, damage, entity_tag=tag, follow=follow)

    def _look_up(
        self, handle: ModuleHandle, pinned: str | None, full: bool
    ) -> tuple[ResolvedModule | None, str]:
        """The module in the cache; or None and, if there is an entry, what is wrong with it.

        It needs to write nothing, so that it works in a read-only cache.
        """
        if pinned is not None:
            entry, damage = find_entry(self._folder, pinned, full=full)
            if entry is None:
                self._check_source(handle, pinned)
        else:
            known = known_digest(self._folder, handle)
            entry, damage = None, ""
            if known is not None:
                entry, damage = find_entry(self._folder, known, full=full)
        if entry is None:
            return None, damage
        self._admit(handle, entry)
        return _resolved(handle, entry, cache_hit=True), damage

    def _check_online(
        self, handle: ModuleHandle, damage: str = "", *, is_there: bool = False
    ) -> None:
        """Raises FetchError for what has to be fetched from elsewhere, where nothing may be."""
        if not self._offline or handle.is_local:
            return
        if handle.is_in_repository and "://" not in handle.authority:
            return
        if is_there:
            said = "which does not tell whether its bytes have changed"
        else:
            said = f"where it is damaged ({damage})" if damage else "where it is not"
        raise FetchError(
            f"{handle}: only the cache {self.root} may be used (HUB_TFX_OFFLINE or --offline), "
            f"{said}: connect to the network without these, or put it there by `hub-tfx cache "
            "import`"
        )

    def _check_source(self, handle: ModuleHandle, pinned: str) -> None:
        """A local source that is known to have another digest need not be copied."""
        if handle.is_local:
            known = known_digest(self._folder, handle)
            if known not in (None, pinned):
                _refuse_pin(handle, str(known), pinned)

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
        before = archive_stamp(handle)
        try:
            with self._folder.work_directory() as work:
                entry = _fetch(handle, fetcher, work)
                if not follow:
                    self._check_digest(handle, entry.manifest.digest, pinned)
                self._admit(handle, entry)
                entry = commit_entry(self._folder, entry)
        except OutputError as error:  # Names a temporary file only.
            raise OutputError(f"{handle}: the cache {self.root} cannot take it: {error}") from error
        except HubTfxError as error:
            if not damage:
                raise
            note = f"the copy in the cache is damaged ({damage}) and cannot be replaced"
            fix = "connect to the network, or give the module's directory instead"
            raise type(error)(f"{error}; {note}: {fix}") from error
        # An archive that was replaced meanwhile may be either of the two.
        packed = archive_sha256(handle)
        unchanged = packed if before == archive_stamp(handle) else ""
        write_record(self._folder, handle, entry.manifest.digest, unchanged, entity_tag)
        return _resolved(handle, entry, cache_hit=False)

    def _check_digest(self, handle: ModuleHandle, digest: str, pinned: str | None) -> None:
        if pinned is not None:
            if digest != pinned:
                _refuse_pin(handle, digest, pinned)
            return
        earlier = record_of(self._folder, handle).get("digest", digest)
        if digest != earlier and not handle.is_local:
            raise DigestMismatchError(
                f"{handle}: its bytes have changed: the digest was {earlier} and is now {digest}; "
                "if that is intended, resolve it with --refresh, or pin the new digest once"
            )

    def _admit(self, handle: ModuleHandle, entry: Entry) -> None:
        """Raises UnsafeModuleError where the policy refuses the module, and warns where it says so.

        Directories and archives of this machine are local.
        """
        is_remote = not handle.is_local
        if self._policy.mode_for(is_remote=is_remote) != "off":
            verdict = entry.verdict or verdict_of(entry.directory, entry.path)
            self._policy.admit(str(handle), verdict, is_remote=is_remote)


def is_offline() -> bool:
    """Whether HUB_TFX_OFFLINE forbids the network."""
    return os.environ.get("HUB_TFX_OFFLINE", "").lower() not in ("", "0", "false")


def _fetch(handle: ModuleHandle, fetcher: Fetcher, work: Path) -> Entry:
    into, directory = work / "module", work / "entry"
    into.mkdir()
    fetcher.fetch(handle, into)
    # Apart from its scratch files, in case the fetcher left some.
    directory.mkdir()
    os.rename(into, module_path(directory))
    try:
        return finish_entry(directory, is_trusted=handle.is_local)
    except UnsafeModuleError as error:
        message = str(error).replace(str(module_path(directory)), str(handle))
        raise UnsafeModuleError(message) from error
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


def _resolved(handle: ModuleHandle, entry: Entry, *, cache_hit: bool) -> ResolvedModule:
    return ResolvedModule(
        handle=str(handle),
        path=entry.path,
        digest=entry.manifest.digest,
        spec=entry.spec,
        cache_hit=cache_hit,
        size_bytes=entry.manifest.size_bytes,
    )
