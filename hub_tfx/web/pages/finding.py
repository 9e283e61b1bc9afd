"""From an address to a version; what is not there is a problem that names what is."""

from collections.abc import Collection, Mapping

from starlette.requests import Request

from hub_tfx._text import hint, nearest, quoted
from hub_tfx.errors import FetchError, HandleError, TransientFetchError
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import LATEST, ModuleName, Reference
from hub_tfx.repository.versions import aliases, check_repository, find, numbers
from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site

_NEAREST = 5
_MAX_CHARS = 300


def reference(site: Site, text: str) -> Reference:
    """The reference in a text.

    Raises:
      ProblemError: it cannot be one, with status 404.
    """
    try:
        return Reference.parse(text)
    except HandleError:
        raise ProblemError(
            404,
            f"There is no module {quoted(text)} here.",
            tuple(site.catalogue.nearest(text[:_MAX_CHARS], _NEAREST)),
        ) from None


def named_version(site: Site, named: Reference) -> Version:
    """The version that a reference stands for now.

    Raises:
      ProblemError: there is none, with status 404.
      HubTfxError: the repository cannot be read.
    """
    try:
        return find(site.storage, named)
    except TransientFetchError:
        raise
    except FetchError:
        raise _missing(site, named) from None


def check_named(site: Site, name: ModuleName) -> None:
    """Raises ProblemError with status 404 where a module has no version."""
    check_repository(site.storage)
    if not numbers(site.storage, name):
        raise _missing(site, Reference(name))


def parameters(request: Request, allowed: Collection[str]) -> Mapping[str, str]:
    """The parameters of an address, without empty ones.

    Raises:
      ProblemError: one is unknown or is given twice, with status 400.
    """
    found: dict[str, str] = {}
    for key, value in request.query_params.multi_items():
        if key not in allowed:
            near = hint(nearest(key, allowed))
            raise ProblemError(
                400, f"{quoted(key)} is not a parameter here: use {_listed(allowed)}{near}."
            )
        if key in found:
            raise ProblemError(400, f"{key} is given twice: give it once.")
        if value:
            found[key] = value
    return found


def whole_number(text: str, name: str, most: int) -> int:
    """A number of a parameter; raises ProblemError with status 400 where it is not one."""
    is_number = text.isascii() and text.isdigit() and len(text) < 10
    if not is_number or not 1 <= int(text) <= most:
        raise ProblemError(400, f"{name} is {quoted(text)}: it takes a number from 1 to {most}.")
    return int(text)


def _missing(site: Site, named: Reference) -> ProblemError:
    there = numbers(site.storage, named.name)
    if not there:
        near = site.catalogue.nearest(str(named.name), _NEAREST)
        return ProblemError(404, f"There is no module {named.name} here.", tuple(near))
    if named.alias is not None:
        known = _listed([LATEST, *aliases(site.storage, named.name)])
        return ProblemError(
            404, f"{named.name} has no alias {named.alias!r}; it has {known}.", (str(named.name),)
        )
    newest = tuple(f"{named.name}/{number}" for number in there[: -_NEAREST - 1 : -1])
    return ProblemError(404, f"{named.name} has no version {named.version}.", newest)


def _listed(names: Collection[str]) -> str:
    return ", ".join(names) or "no parameter"
