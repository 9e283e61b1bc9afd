"""The protocol of fetchers, and which one serves which scheme."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.fetch.places import hugging_face_repo, kaggle_model


class Fetcher(Protocol):
    """Brings a module here from where its handle points.

    ``hub_tfx.testing.fetchers`` tests what it promises.
    """

    def fetch(self, handle: ModuleHandle, into: Path) -> None:
        """Puts the module's files into a directory, its root the module's root.

        A fetcher need not verify that the files are a module, hash or sync them: the cache does.
        It retries by itself where that may help. Messages name ``str(handle)``, never
        ``handle.url``, which may hold a credential.

        Args:
          handle: handle with a scheme that the fetcher is registered for.
          into: fresh, empty directory. ``into.parent`` belongs to this fetch alone: scratch files
            go there, and the fetcher removes them.

        Raises:
          FetchError: the module cannot be had; TransientFetchError if trying again may help.
          NotAModuleError: what is there is not a module.
          ArchiveError, RefusedError: the archive is damaged, or refused for safety.
          InputError, OutputError: this machine cannot read or write a file.
          In every case the caller removes ``into`` and its parent, and passes the error on.
        """


@dataclass(frozen=True)
class Pinned:
    """What a handle stands for, once and for all.

    Attributes:
      handle: the handle with the number of a version, whose bytes never change.
      digest: digest that the module must have.
      directory: the module's directory where it lies on this machine and need not be copied.
      signed_by: fingerprint of the key whose signature was verified; None where none was asked for.
    """

    handle: ModuleHandle
    digest: str
    directory: Path | None = None
    signed_by: str | None = None


@runtime_checkable
class PinningFetcher(Fetcher, Protocol):
    """A fetcher that knows the bytes of a handle before it fetches them."""

    def pin(self, handle: ModuleHandle, verify_key: Path | None = None) -> Pinned:
        """Finds the version that a handle, with an alias perhaps, stands for now.

        Args:
          handle: the handle.
          verify_key: file with the public key by which the version must be signed.

        Raises:
          FetchError: there is none; TransientFetchError if trying again may help.
          UntrustedError: it is not signed by this key.
        """


@runtime_checkable
class TaggingFetcher(Fetcher, Protocol):
    """A fetcher that can tell, without fetching, whether a handle still stands for equal bytes."""

    def entity_tag(self, handle: ModuleHandle) -> str:
        """What is another one as soon as a single byte differs; empty where nothing says so.

        A time or a size alone is not enough. It must not hold a credential, since it is kept.

        Raises:
          FetchError, RefusedError: as ``fetch``.
        """


_fetchers: dict[str, Fetcher] = {}
_made: dict[str, Fetcher] = {}

_BUCKETS = "hub_tfx.store.fetch.buckets:BucketFetcher"
_KAGGLE = "hub_tfx.store.fetch.kaggle:KaggleFetcher"
_HUGGING_FACE = "hub_tfx.store.fetch.hugging_face:HuggingFaceFetcher"

# Imported when first asked for: a module that is in the cache needs no HTTP library.
_BUILT_IN = {
    "abfs": _BUCKETS,
    "abfss": _BUCKETS,
    "az": _BUCKETS,
    "file": "hub_tfx.store.fetch.local:LocalFetcher",
    "gcs": _BUCKETS,
    "gs": _BUCKETS,
    "hdfs": _BUCKETS,
    "hf": _HUGGING_FACE,
    "http": "hub_tfx.store.fetch.http:HttpFetcher",
    "https": "hub_tfx.store.fetch.http:HttpFetcher",
    "repo": "hub_tfx.repository.fetch:RepositoryFetcher",
    "s3": _BUCKETS,
    "s3a": _BUCKETS,
}


def register(schemes: str | Iterable[str], fetcher: Fetcher) -> None:
    """Lets ``fetcher`` serve these schemes from now on, in place of any other."""
    for scheme in [schemes] if isinstance(schemes, str) else schemes:
        _fetchers[scheme.lower()] = fetcher


def fetcher_for(handle: ModuleHandle) -> Fetcher:
    """The fetcher for the handle's scheme, or for the hub that its URL leads to.

    Raises:
      HandleError: no fetcher serves the scheme; the message lists the schemes that are served.
    """
    if handle.scheme in _fetchers:
        return _fetchers[handle.scheme]
    if handle.scheme not in _BUILT_IN:
        known = ", ".join(sorted(_BUILT_IN.keys() | _fetchers.keys()))
        raise HandleError(
            f"{handle}: nothing fetches {handle.scheme}:// handles: "
            f"use one of {known}, or register a fetcher for {handle.scheme}"
        )
    place = _place(handle)
    if place not in _made:
        module, _, name = place.partition(":")
        _made[place] = getattr(importlib.import_module(module), name)()
    return _made[place]


def _place(handle: ModuleHandle) -> str:
    if kaggle_model(handle) is not None:
        return _KAGGLE
    if hugging_face_repo(handle) is not None:
        return _HUGGING_FACE
    return _BUILT_IN[handle.scheme]
