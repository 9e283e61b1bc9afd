"""Versions of the repository, found for a request: what is not there is told as a problem.

The repository itself is asked, not its index, so that a version is served as soon as it appears.
"""

from hub_tfx.errors import HandleError
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import LATEST, ModuleName, Reference
from hub_tfx.repository.versions import alias_names, found, latest, numbers, target_of, yank_of
from hub_tfx.web.problems import ProblemError
from hub_tfx.web.site import Site

_NAMED = 5


def reference_of(site: Site, path: str) -> Reference:
    """The module that the path of a URL names: ``/publisher/name``, ``…/3`` or ``…@stable``.

    Raises:
      ProblemError: it names none.
    """
    text = path.removeprefix("/").removesuffix("/")
    try:
        return Reference.parse(text)
    except HandleError as error:
        raise ProblemError(404, f"{_sentence(str(error))}", site.nearest(text)) from error


def number_of(site: Site, reference: Reference) -> int:
    """The number of the version that a reference stands for now.

    Raises:
      ProblemError: there is no such module or alias, or every version is yanked.
    """
    if reference.version is not None:
        return reference.version
    storage, name = site.storage, reference.name
    if not numbers(storage, name):
        raise _no_module(site, name)
    if reference.alias is None or reference.alias == LATEST:
        number = latest(storage, name)
        if number is None:
            raise ProblemError(410, f"Every version of {name} is yanked.")
        return number
    number = target_of(storage, name, reference.alias)
    if number is None:
        known = tuple(f"{name}@{alias}" for alias in [LATEST, *alias_names(storage, name)])
        raise ProblemError(404, f"{name} has no alias {reference.alias!r}.", known)
    return number


def version_of(site: Site, name: ModuleName, number: int) -> Version:
    """The version of a number.

    Raises:
      ProblemError: there is none, or it is yanked.
    """
    version = found(site.storage, name, number)
    if version is None:
        there = numbers(site.storage, name)
        if not there:
            raise _no_module(site, name)
        near = tuple(f"{name}/{known}" for known in there[-_NAMED:])
        raise ProblemError(404, f"{name} has no version {number}.", near)
    if (yank := yank_of(site.storage, name, number)) is not None:
        raise ProblemError(410, f"{version.key} is yanked: {_sentence(yank.why)}")
    return version


def _no_module(site: Site, name: ModuleName) -> ProblemError:
    return ProblemError(404, f"There is no module {name}.", site.nearest(str(name)))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
