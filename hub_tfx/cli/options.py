"""Options that take several values, and Beam's own options behind `--`."""

from collections.abc import Sequence

import click

from hub_tfx.errors import UsageError

_BEAM_OPTIONS = "hub_tfx.beam_options"


class ManyValuesCommand(click.Command):
    """A command whose repeatable options take many values.

    `--input a b` means what `--input a --input b` does, so that a shell may expand a glob.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._repeat_options(args))

    def _repeat_options(self, args: Sequence[str]) -> list[str]:
        repeatable = {
            name
            for parameter in self.params
            if isinstance(parameter, click.Option) and parameter.multiple
            for name in parameter.opts
        }
        repeated: list[str] = []
        option = None
        for arg in args:
            if arg.startswith("-"):
                name = arg.partition("=")[0]
                option = name if name in repeatable else None
            elif option is not None and repeated[-1] != option:
                repeated.append(option)
            repeated.append(arg)
        return repeated


class BeamCommand(ManyValuesCommand):
    """A command that ends in `[-- BEAM OPTIONS…]`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ours, beam = _split(args)
        ctx.meta[_BEAM_OPTIONS] = beam
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- BEAM OPTIONS…]"]


def beam_options() -> list[str]:
    """What stood behind `--` on the command line."""
    options: list[str] = click.get_current_context().meta[_BEAM_OPTIONS]
    return options


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """Parses values of the form KEY=FEATURE.

    Raises:
      UsageError: a value has no `=`, or a key is given twice.
    """
    parsed: dict[str, str] = {}
    for value in values:
        key, equals, feature = value.rpartition("=")
        if not (key and equals and feature):
            raise UsageError(f"{option} takes KEY=FEATURE, not {value!r}")
        if key in parsed:
            raise UsageError(f"{option} names {key!r} twice")
        parsed[key] = feature
    return parsed


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in args:
        return args, []
    at = args.index("--")
    return args[:at], args[at + 1 :]
