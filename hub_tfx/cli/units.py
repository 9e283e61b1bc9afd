"""Sizes and times of options: ``10GB``, ``512MiB``, ``30d``."""

import re
from typing import Any

import click

_BYTES = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", start=1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", start=1)},
}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,3})")


class Size(click.ParamType[int]):
    """A number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _QUANTITY.fullmatch(value)
        if found is None or found[2].upper() not in _BYTES:
            self.fail(f"{value!r} is not a size: give a number with KB, MB, GB, TB or KiB … TiB")
        return int(float(found[1]) * _BYTES[found[2].upper()])


class Duration(click.ParamType[float]):
    """A time in seconds."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = _QUANTITY.fullmatch(value)
        if found is None or found[2] not in _SECONDS:
            self.fail(f"{value!r} is not a time: give a number with s, m, h, d or w")
        return float(found[1]) * _SECONDS[found[2]]
