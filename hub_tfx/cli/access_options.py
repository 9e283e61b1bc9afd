"""The options that say how servers are asked."""

import functools
from typing import Any

import click

from hub_tfx.cli.options import add_options
from hub_tfx.errors import UsageError


def access_options(command: Any) -> Any:
    """Adds the options that say how servers are asked, and has the command ask so."""

    @functools.wraps(command)
    def asking(
        *arguments: Any,
        token_env: str | None,
        netrc: bool,
        ca_bundle: str | None,
        allow_host: tuple[str, ...],
        deny_host: tuple[str, ...],
        **options: Any,
    ) -> Any:
        from hub_tfx.store.fetch.access import Access, using

        if token_env and len(options.get("handles", ())) > 1:
            raise UsageError("--token-env is for the host of one handle: give one handle")
        access = Access.from_environment(
            token_env=token_env or "",
            netrc=netrc,
            ca_bundle=ca_bundle or "",
            allow=allow_host,
            deny=deny_host,
        )
        with using(access):
            return command(*arguments, **options)

    return add_options(asking, *_ACCESS_OPTIONS)


_ACCESS_OPTIONS = (
    click.option(
        "--token-env",
        metavar="NAME",
        help="Send the token that this variable of the environment holds to the host of HANDLE, "
        "and to no other.",
    ),
    click.option("--netrc", is_flag=True, help="Take user names and passwords from ~/.netrc."),
    click.option(
        "--ca-bundle",
        metavar="FILE",
        help="Trust servers whose certificates lead to an authority in this file.  "
        "[REQUESTS_CA_BUNDLE, SSL_CERT_FILE]",
    ),
    click.option(
        "--allow-host",
        multiple=True,
        metavar="PATTERN",
        help="Ask only hosts that match, such as *.example.org or 10.1.0.0/16.  "
        "[HUB_TFX_ALLOW_HOSTS]",
    ),
    click.option(
        "--deny-host",
        multiple=True,
        metavar="PATTERN",
        help="Never ask hosts that match.  [HUB_TFX_DENY_HOSTS]",
    ),
)
