"""What the query of an address may hold."""

from collections.abc import Collection, Mapping

from starlette.requests import Request

from hub_tfx._text import hint, nearest, quoted
from hub_tfx.web.problems import ProblemError


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
                400, f"{quoted(key)} is not a parameter here: {_allowed(allowed)}{near}."
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


def _allowed(names: Collection[str]) -> str:
    return f"use {', '.join(names)}" if names else "leave it out"
