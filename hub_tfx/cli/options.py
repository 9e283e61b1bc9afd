"""What commands share: options, Beam's options after `--`, and a quiet log of Beam."""

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.errors import DigestMismatchError, UsageError
from hub_tfx.module.manifest import parse_digest

if TYPE_CHECKING:
    from hub_tfx.module.policy import SafetyPolicy
    from hub_tfx.module.resolved import ResolvedModule
    from hub_tfx.store.cache import ModuleCache

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
    """Beam's options, which are all arguments after `--` on the command line."""
    options: list[str] = click.get_current_context().meta[_BEAM_OPTIONS]
    return options


def engine_options() -> list[str]:
    """The same, of a command that is about to run a job.

    Raises:
      ConfigError: an option is wrong, or the engine is not there.
    """
    if options := beam_options():
        from hub_tfx.beam.runner import check_engine

        check_engine(options)
    return options


@contextmanager
def current_directory_on_path() -> Iterator[None]:
    """Puts the current directory on Python's path, as `python -m` does and a command does not.

    It stays there for the calls of a user's function, which may import more when it is called.
    """
    directory = os.getcwd()
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


@contextmanager
def errors_told_once() -> Iterator[None]:
    """Keeps Beam and TFX from logging, with a traceback, an error that the command tells anyway."""
    if os.environ.get("HUB_TFX_DEBUG", "") not in ("", "0"):
        yield
        return
    loggers = [logging.getLogger(name) for name in ("apache_beam.runners", "absl")]
    levels = [logger.level for logger in loggers]
    root = logging.getLogger()
    told_by_threads = threading.excepthook
    try:
        threading.excepthook = lambda _: None  # Runners raise there when a worker is gone.
        root.addFilter(_is_no_job_message)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        threading.excepthook = told_by_threads
        root.removeFilter(_is_no_job_message)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_no_job_message(record: logging.LogRecord) -> bool:
    """Whether a record is not what Beam's portable runner passes on from a job to the root log."""
    return record.module != "portable_runner"


def add_options(command: Any, *options: Any) -> Any:
    """Adds options, or functions that add some, so that --help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def digest_option(*names: str, help: str) -> Any:
    """An option that takes a digest in hex, checked and in lower case."""
    return click.option(*names, metavar="HEX", callback=_parse_digest, help=help)


def sha256_option(name: str = "digest") -> Any:
    """The option that pins the module, the same for every command; ``name`` is the parameter."""
    return digest_option(
        "--sha256",
        "--digest",
        name,
        help="Take only the module with this digest; with it in the cache, the network is not "
        "used.",
    )


def _parse_digest(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    return None if value is None else parse_digest(value)


def _parse_tags(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    return None if value is None else tuple(tag for tag in value.split(",") if tag)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Use N threads in each process.  [one a core, shared by worker processes]",
)


def _go_offline(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Sets what the library and child processes look at, for the time of the command."""
    if not value:
        return
    before = os.environ.get("HUB_TFX_OFFLINE")
    os.environ["HUB_TFX_OFFLINE"] = "1"

    def undo() -> None:
        del os.environ["HUB_TFX_OFFLINE"]
        if before is not None:
            os.environ["HUB_TFX_OFFLINE"] = before

    ctx.call_on_close(undo)


cache_folder_option = click.option(
    "--cache-dir",
    metavar="DIR",
    help="Keep modules in this directory.  [TFHUB_CACHE_DIR, or the user's cache]",
)


def cache_dir_option(command: Any) -> Any:
    """Adds the options of what resolves: where the cache is, and whether only it may be used."""
    offline = click.option(
        "--offline",
        is_flag=True,
        expose_value=False,
        callback=_go_offline,
        help="Take modules from the cache and this machine only, and never ask a server.  "
        "[HUB_TFX_OFFLINE]",
    )
    return add_options(command, cache_folder_option, offline)


input_format_option = click.option(
    "--input-format",
    type=click.Choice(["txt", "csv", "jsonl", "parquet", "tfrecord"]),
    help="Read the input as this format.  [by the ending of a file, otherwise by its first bytes]",
)
preprocessor_option = click.option(
    "--preprocessor",
    metavar="HANDLE",
    help="Feed the features to this module first, and its outputs to the other one.",
)
preprocessor_sha256_option = digest_option(
    "--preprocessor-sha256",
    "--preprocessor-digest",
    "preprocessor_digest",
    help="Take only the preprocessor with this digest.",
)
signature_option = click.option(
    "--signature",
    metavar="NAME",
    help="Call this signature of the module.  [`__call__` if there is one, otherwise `default`]",
)
tags_option = click.option(
    "--tags",
    metavar="TAG,…",
    callback=_parse_tags,
    help="Use the graph with these tags, of a module that has several.  [the one tagged `serve`]",
)
no_batch_option = click.option(
    "--no-batch",
    is_flag=True,
    default=None,
    help="Call the signature once a row, without a batch dimension.  [found out where only that "
    "fits]",
)
normalize_option = click.option(
    "--normalize",
    is_flag=True,
    default=None,
    help="Divide vectors by their L2 norm; zero stays zero.",
)
input_map_option = click.option(
    "--input-map",
    multiple=True,
    metavar="KEY=FEATURE…",
    help="Feed the input KEY from FEATURE.",
)


def feeding_options(command: Any) -> Any:
    """Adds the options that say how features are fed, the same for embedding and training."""
    options = (
        click.option(
            "--text-encoding",
            type=click.Choice(["utf-8", "bytes"]),
            help="Feed string inputs text, and reject rows that are not valid UTF-8; or feed them "
            "any bytes. Columns of bytes are fed as they are.  [utf-8]",
        ),
        click.option(
            "--image-paths",
            "image_source",
            flag_value="path",
            help="Read images, or the bytes for a string input, from the files whose paths the "
            "features hold.",
        ),
        click.option(
            "--image-size",
            nargs=2,
            type=click.IntRange(1),
            metavar="HEIGHT WIDTH",
            help="Resize images to this size where the module takes any.",
        ),
        click.option(
            "--import",
            "imports",
            multiple=True,
            metavar="PACKAGE…",
            help="Import these packages, such as those with the module's ops, before it is loaded.",
        ),
        click.option(
            "--max-dead-letter-ratio",
            type=click.FloatRange(0, 1),
            metavar="RATIO",
            help="Fail if a larger share of the rows is rejected.  [1.0: only if all are]",
        ),
    )
    return add_options(command, *options)


import_option = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="PACKAGE",
    help="Allow the ops of this package, which is imported where the module is run. May be "
    "repeated.",
)


def safety_options(command: Any) -> Any:
    """Adds the options that say which modules are refused; see ``safety_policy``."""
    options = (
        click.option(
            "--policy",
            type=click.Choice(["strict", "warn", "off"]),
            help="Refuse a module with ops that are on no list of harmless ones, say so, or do not "
            "look.  [HUB_TFX_POLICY, or strict for modules from elsewhere and warn for those of "
            "this machine]",
        ),
        click.option(
            "--allow-op",
            "allow_ops",
            multiple=True,
            metavar="NAME",
            help="Allow this op all the same. May be repeated.",
        ),
    )
    return add_options(command, *options)


def safety_policy(
    policy: Any, allow_ops: Sequence[str], imports: Sequence[str] = ()
) -> "SafetyPolicy":
    """The policy of what ``safety_options`` parsed, for modules that run beside some packages."""
    from hub_tfx.module.policy import SafetyPolicy

    return SafetyPolicy(policy, tuple(allow_ops), tuple(imports))


def call_options(batch_size: str) -> Any:
    """The options that limit calls of a module; ``batch_size`` says how many rows have one."""

    def add(command: Any) -> Any:
        options = (
            click.option(
                "--batch-size",
                type=click.IntRange(1),
                metavar="N",
                help=f"Call the module with N rows.  [{batch_size}]",
            ),
            click.option(
                "--batch-bytes",
                type=click.IntRange(1),
                metavar="N",
                help="Feed a call at most N bytes, as if all of its rows were as large as the "
                "largest.  [64 MiB]",
            ),
            click.option(
                "--call-timeout",
                "call_timeout_s",
                type=click.FloatRange(0, min_open=True),
                metavar="SECONDS",
                help="Cancel a call of the module after this time, and try it with fewer rows.  "
                "[600]",
            ),
            threads_option,
        )
        return add_options(command, *options)

    return add


def embed_options(command: Any) -> Any:
    """Adds the options that make an EmbedConfig; see ``embed_config``."""
    options = (
        signature_option,
        tags_option,
        no_batch_option,
        input_map_option,
        click.option(
            "--output-map",
            multiple=True,
            metavar="KEY=FEATURE…",
            help="Write only these outputs of the module, each under the name FEATURE.",
        ),
        click.option(
            "--keep", multiple=True, metavar="FEATURE…", help="Copy these features to the output."
        ),
        call_options("as many as are fastest, found while it works"),
        feeding_options,
        normalize_option,
        click.option(
            "--output-dtype",
            type=click.Choice(["float32", "float16", "int8"]),
            help="Write vectors in this type; int8 has a scale for each row.  [float32]",
        ),
        click.option(
            "--deduplicate",
            is_flag=True,
            default=None,
            help="Embed equal rows once in each worker, and copy the result.",
        ),
    )
    return add_options(command, *options)


def embed_config(**options: Any) -> Any:
    """The EmbedConfig of what ``embed_options`` parsed."""
    from hub_tfx.embed.config import EmbedConfig

    return EmbedConfig(**embed_values(**options))


def embed_values(
    input_map: Sequence[str], output_map: Sequence[str], **options: Any
) -> dict[str, Any]:
    """What ``embed_options`` parsed, by the keys of an EmbedConfig."""
    return {
        "inputs": pairs("--input-map", input_map),
        "outputs": pairs("--output-map", output_map),
        **{name: value for name, value in options.items() if value is not None},
    }


def resolve_preprocessor(
    cache: "ModuleCache", handle: str | None, digest: str | None
) -> "ResolvedModule | None":
    """The module of ``--preprocessor``, if there is one.

    Raises:
      UsageError: a digest is given for none.
    """
    check_preprocessor_digest(handle, digest)
    return None if handle is None else cache.resolve(handle, digest=digest, verify=True)


def check_preprocessor_digest(handle: str | None, digest: str | None) -> None:
    """Raises UsageError where a digest is given for a preprocessor that is not."""
    if digest and not handle:
        raise UsageError("--preprocessor-sha256 is that of --preprocessor: give both")


def located(
    handle: str,
    cache_dir: str | None = None,
    pinned: str | None = None,
    policy: "SafetyPolicy | None" = None,
) -> "ResolvedModule":
    """The module of a handle, as its bytes are now. A directory is not copied to the cache first.

    Nothing of it is run by those who ask for it so: a directory is taken whatever is in its graphs.

    Raises:
      UnsafeModuleError: it comes from elsewhere, and the policy refuses it.
      DigestMismatchError: the module has not the digest that is pinned.
    """
    from hub_tfx.module.handle import ModuleHandle
    from hub_tfx.module.policy import SafetyPolicy
    from hub_tfx.module.resolved import ResolvedModule
    from hub_tfx.store.cache import ModuleCache

    parsed = ModuleHandle.parse(handle)
    if not (parsed.is_local and os.path.isdir(parsed.path)):
        return ModuleCache(cache_dir, policy=policy).resolve(parsed, digest=pinned, verify=True)
    module = ResolvedModule.of_directory(parsed.path, str(parsed), SafetyPolicy("off"))
    if pinned not in (None, module.digest):
        raise DigestMismatchError(
            f"{parsed}: its digest is {module.digest}, but {pinned} is pinned: name the module "
            "that has this digest, or pin the other one"
        )
    return module


def pairs(option: str, values: Sequence[str], form: str = "KEY=FEATURE") -> dict[str, str]:
    """Parses values of the form KEY=FEATURE, or another one with `=`.

    Raises:
      UsageError: a value has no `=`, or a key is given twice.
    """
    parsed: dict[str, str] = {}
    for value in values:
        key, equals, feature = value.rpartition("=")
        if not (key and equals and feature):
            raise UsageError(f"{option} takes {form}, not {value!r}")
        if key in parsed:
            raise UsageError(f"{option} names {key!r} twice")
        parsed[key] = feature
    return parsed


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in args:
        return args, []
    at = args.index("--")
    return args[:at], args[at + 1 :]
