"""`hub-tfx serve`. It imports neither TensorFlow nor the server before it runs."""

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.metadata_options import connection_of, metadata_option, metadata_password_option
from hub_tfx.cli.options import add_options, import_option, safety_options, safety_policy
from hub_tfx.cli.output import print_path, tell
from hub_tfx.cli.publish import repository_option
from hub_tfx.errors import OutputError, UsageError

if TYPE_CHECKING:
    from hub_tfx.web.site import ServeOptions, Site

_PORT = 8501
_MIB = 1 << 20
_MIN_TOKEN_CHARS = 16
_ORIGIN = re.compile(
    r"\*|https?://[A-Za-z0-9.-]+(:\d{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:\d{1,5})?"
)
_URL = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
_PREFIX = re.compile(r"/[A-Za-z0-9._/-]*")


def _options(command: Any) -> Any:
    """Adds the options of `serve`, in this order."""
    return add_options(
        command,
        repository_option,
        metadata_option("Show where modules came from, by the ML Metadata there.", required=False),
        metadata_password_option,
        click.option(
            "--host",
            default="127.0.0.1",
            show_default=True,
            metavar="ADDRESS",
            help="Listen on this address; 0.0.0.0 is every one of this machine.",
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=_PORT,
            show_default=True,
            help="Listen on this port; 0 takes a free one.",
        ),
        click.option(
            "--token-env",
            "token_names",
            multiple=True,
            metavar="NAME,…",
            help="Answer only those who send the token in this environment variable. May be "
            "repeated.",
        ),
        click.option(
            "--allow-publish",
            is_flag=True,
            help="Let those who have a token publish modules, unless the policy refuses them.",
        ),
        safety_options,
        import_option,
        click.option(
            "--cors-origin",
            "cors_origins",
            multiple=True,
            metavar="ORIGIN",
            help="Let pages of this origin, such as https://example.org, read what is served, or "
            "those of all by *. May be repeated.",
        ),
        click.option(
            "--public-url",
            metavar="URL",
            help="Tell this URL as that of the server, such as that of a proxy in front.  [as each "
            "request has it]",
        ),
        click.option(
            "--accel-prefix",
            metavar="PATH",
            help="Have an nginx in front send the archives from this internal location.",
        ),
        click.option(
            "--access-log",
            metavar="FILE",
            help="Write a JSON line for each answer to this file, or to standard output for -.",
        ),
        click.option(
            "--max-downloads",
            type=click.IntRange(1),
            default=64,
            show_default=True,
            help="Send at most so many archives at a time; others are to try again.",
        ),
        click.option(
            "--max-upload-mib",
            type=click.IntRange(1),
            default=4096,
            show_default=True,
            help="Take archives of at most so many MiB.",
        ),
        click.option(
            "--index",
            metavar="FILE",
            help="Keep the index of the repository in this file.  [in the user's cache]",
        ),
    )


@click.command(short_help="Serve a repository to TensorFlow Hub and to people.")
@_options
def serve(
    repository: str,
    metadata: str | None,
    metadata_password_env: str | None,
    host: str,
    port: int,
    access_log: str | None,
    index: str | None,
    **options: Any,
) -> None:
    """Serve a repository: hub.load(URL) loads modules from it, and people find them in it.

    Nothing is written to the repository without --allow-publish. The URL is printed when the server
    answers; SIGTERM and Ctrl-C stop it after the requests that are being answered.

    \b
    Example:
      hub-tfx serve --repository ./modules
    """
    chosen = _chosen(**options)
    from hub_tfx.web.access_log import AccessLog
    from hub_tfx.web.app import create_app
    from hub_tfx.web.server import listen, server_of, url_of

    connection = None if metadata is None else connection_of(metadata, metadata_password_env)
    site = _site(repository, index, chosen, connection)
    log = None if access_log is None else AccessLog.at(access_log)
    listening = listen(host, port)
    url = chosen.public_url or url_of(listening, host)
    if not chosen.tokens and not _is_loopback(listening):
        tell(f"{host} can be reached from other machines, and no token is needed: see --token-env")

    def ready() -> None:
        print_path(url)
        tell(f"serves {site.storage.url}; stop it by Ctrl-C")

    server = server_of(create_app(site, log), ready)
    with site.catalogue, suppress(KeyboardInterrupt):  # uvicorn raises the signal again at the end.
        server.run(sockets=[listening])
    if log is not None:
        log.close()
    if not server.started and not server.should_exit:
        raise OutputError(
            "the server could not start: try again with HUB_TFX_DEBUG=1, which says why"
        )
    tell("stopped")


def _site(repository: str, index: str | None, options: "ServeOptions", connection: Any) -> "Site":
    from pathlib import Path

    from hub_tfx.cli.search import index_path
    from hub_tfx.repository.catalogue import Catalogue
    from hub_tfx.repository.storage import open_storage
    from hub_tfx.repository.versions import check_repository
    from hub_tfx.web.site import Site

    storage = open_storage(repository)
    if not options.allow_publish:
        check_repository(storage)
    if options.accel_prefix is not None and "://" in storage.url:
        raise UsageError("--accel-prefix is for a repository in a directory, which nginx can read")
    path = Path(index) if index else index_path(storage, may_be_new=options.allow_publish)
    return Site(storage, Catalogue.open(storage, path), connection, options)


def _chosen(
    token_names: tuple[str, ...],
    allow_publish: bool,
    policy: Any,
    allow_ops: tuple[str, ...],
    imports: tuple[str, ...],
    cors_origins: tuple[str, ...],
    public_url: str | None,
    accel_prefix: str | None,
    max_downloads: int,
    max_upload_mib: int,
) -> "ServeOptions":
    """The options of the server; raises UsageError for those that make no sense."""
    from hub_tfx.web.site import ServeOptions

    for origin in cors_origins:
        if _ORIGIN.fullmatch(origin) is None:
            raise UsageError(f"--cors-origin {origin!r} is not an origin: use https://HOST, or *")
    if public_url is not None and _URL.fullmatch(public_url.rstrip("/")) is None:
        raise UsageError(f"--public-url {public_url!r} is not a URL of a server: use https://HOST")
    if accel_prefix is not None and _PREFIX.fullmatch(accel_prefix) is None:
        raise UsageError(f"--accel-prefix {accel_prefix!r} is not a path: use /NAME")
    tokens = _tokens(name for names in token_names for name in names.split(",") if name)
    return ServeOptions(
        tokens,
        allow_publish,
        cors_origins,
        accel_prefix,
        public_url,
        max_downloads,
        max_upload_mib * _MIB,
        safety_policy(policy, allow_ops, imports),
    )


def _tokens(names: Any) -> dict[str, str]:
    """Name -> token; messages never quote a token."""
    tokens = {}
    for name in names:
        token = os.environ.get(name, "")
        if len(token) < _MIN_TOKEN_CHARS or not (token.isascii() and token.isprintable()):
            state = "holds no token" if token else "is not set"
            raise UsageError(
                f"the environment variable {name} {state}: set it to at least {_MIN_TOKEN_CHARS} "
                "letters and digits, such as those that `openssl rand -hex 32` prints"
            )
        tokens[name] = token
    return tokens


def _is_loopback(listening: Any) -> bool:
    from ipaddress import ip_address

    return ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback
