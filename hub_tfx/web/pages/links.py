"""Paths of pages, and what a handle looks like on one of them."""

import os
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlencode

from hub_tfx.errors import HandleError
from hub_tfx.module.handle import IN_REPOSITORY, ModuleHandle
from hub_tfx.repository.facts import Origin
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName, Reference


@dataclass(frozen=True)
class Place:
    """Where pages are served from.

    Attributes:
      server: URL of the server, without a slash at its end.
      repository: what a person types to name the repository; it is not shown.
    """

    server: str
    repository: str

    def handle(self, version: Version) -> str:
        """URL of a version, which TensorFlow Hub and hub_tfx take as a handle."""
        return f"{self.server}{version_path(version.name, version.number)}"


@dataclass(frozen=True)
class Link:
    """Something that has a name, and a page if it can be reached.

    Attributes:
      label: its name.
      href: its page; None where there is none.
      digest: digest of the module that it is.
    """

    label: str
    href: str | None = None
    digest: str | None = None


def module_path(name: ModuleName) -> str:
    return f"/{name}"


def version_path(name: ModuleName, number: int) -> str:
    return f"/{name}/{number}"


def compare_path(left: str, right: str) -> str:
    return "/-/compare?" + urlencode({"left": left, "right": right}, safe="/@")


def twin_of(path: str, query: str) -> str:
    """The address of the JSON document of a page, or of the page of a JSON document."""
    ending = ".json"
    twin = path.removesuffix(ending) if path.endswith(ending) else path + ending
    return f"{twin}?{query}" if query else twin


def origin(place: Place, of: Origin) -> Link:
    """Another module, by the handle that it was taken from."""
    if of.handle is None:
        return Link(f"module {of.digest[:12]}", digest=of.digest)
    found = handle_link(place, of.handle)
    return Link(found.label, found.href, of.digest)


def handle_link(place: Place, handle: str) -> Link:
    """A handle without what it tells of somebody's disk, with its page if it has one."""
    if handle.startswith(IN_REPOSITORY):
        return _in_repository(place, handle)
    if handle.startswith(f"{place.server}/"):
        path = handle.removeprefix(place.server)
        return Link(path.strip("/"), path)
    try:
        parsed = ModuleHandle.parse(handle)
    except HandleError:
        return Link(handle)
    if parsed.scheme == "file":
        return Link(PurePosixPath(parsed.path).name)
    return Link(str(parsed), handle if parsed.scheme == "https" and not parsed.userinfo else None)


def _in_repository(place: Place, handle: str) -> Link:
    root, _, named = handle.removeprefix(IN_REPOSITORY).rpartition("//")
    try:
        reference = Reference.parse(named)
    except HandleError:
        return Link(named)
    is_here = place.repository in (root, os.path.abspath(root))
    return Link(named, f"/{reference}" if is_here else None)
