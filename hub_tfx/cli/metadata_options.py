"""The options that say where ML Metadata is, for every command that opens it."""

from typing import TYPE_CHECKING, Any

import click

from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection

_PLACES = (
    "The path of a SQLite file, mysql://USER@HOST:PORT/DATABASE, "
    "postgresql://USER@HOST:PORT/DATABASE or grpc://HOST:PORT."
)

metadata_password_option = click.option(
    "--metadata-password-env",
    metavar="NAME",
    help="Take the password of the database from this environment variable.",
)


def metadata_option(sentence: str, *, required: bool) -> Any:
    """`--metadata PATH|URL`; the sentence says what the command does with it.

    Where it is required, the environment variable HUB_TFX_METADATA is its default.
    """
    purpose, _, default = sentence.partition("  ")
    return click.option(
        "--metadata",
        required=required,
        envvar="HUB_TFX_METADATA" if required else None,
        show_envvar=required,
        metavar="PATH|URL",
        help=f"{purpose} {_PLACES}{f'  {default}' if default else ''}",
    )


def connection_of(metadata: str, password_env: str | None) -> "Connection":
    """The connection that the two options describe.

    Raises:
      UsageError: --metadata-password-env is given for something that takes no password.
      ConfigError: --metadata cannot be read, or holds a password.
    """
    from hub_tfx.lineage.connection import Connection

    connection = Connection.parse(metadata)
    if password_env is None:
        return connection
    if connection.backend in ("sqlite", "grpc"):
        raise UsageError(
            "--metadata-password-env is for a database with a password, mysql:// or postgresql://: "
            "leave it out"
        )
    return Connection.parse(metadata, password_env)
