"""`hub-tfx publish`. It imports no TensorFlow."""

from dataclasses import asdict
from typing import Any

import click

from hub_tfx.cli.options import (
    add_options,
    cache_dir_option,
    safety_options,
    safety_policy,
    sha256_option,
)
from hub_tfx.cli.output import json_option, print_fields, print_json, tell

_ENVIRONMENT = "HUB_TFX_REPOSITORY"

repository_option = click.option(
    "--repository",
    required=True,
    envvar=_ENVIRONMENT,
    metavar="REPOSITORY",
    help=f"Use the repository in this directory, or at s3://… or gs://….  [{_ENVIRONMENT}]",
)
why_option = click.option(
    "--why", required=True, metavar="TEXT", help="Keep this reason with the change."
)


def _options(command: Any) -> Any:
    """Adds the options of `publish`, in this order."""
    return add_options(
        command,
        repository_option,
        click.option(
            "--name", required=True, metavar="PUBLISHER/MODEL", help="Publish under this name."
        ),
        click.option(
            "--card",
            required=True,
            metavar="FILE",
            help="Describe the module by this Markdown file with YAML front matter.",
        ),
        click.option(
            "--version",
            type=click.IntRange(1),
            metavar="N",
            help="Insist on this number.  [the next free one]",
        ),
        click.option(
            "--alias",
            "aliases",
            multiple=True,
            metavar="ALIAS",
            help="Have this alias, such as stable, stand for the version. May be repeated.",
        ),
        click.option(
            "--why",
            default="published",
            metavar="TEXT",
            help="Keep this reason with a change of an alias.",
        ),
        click.option(
            "--variant",
            "variants",
            multiple=True,
            type=click.Choice(["serving", "tflite"]),
            help="Publish the module in this format, too: a SavedModel for TensorFlow Serving and "
            "TFX, or TensorFlow Lite. Each is tried first. May be repeated.",
        ),
        click.option(
            "--import",
            "imports",
            multiple=True,
            metavar="PACKAGE",
            help="Import this package, such as one with the module's ops, to make variants. May be "
            "repeated.",
        ),
        safety_options,
        click.option(
            "--sign-key",
            metavar="FILE",
            help="Sign the version with the private key in this file.  [HUB_TFX_SIGN_KEY]",
        ),
        click.option(
            "--no-archive",
            is_flag=True,
            help="Leave out the archive that TensorFlow Hub loads from a web server.",
        ),
        cache_dir_option,
        sha256_option(),
        json_option,
    )


@click.command(short_help="Publish a module as the next version of a name.")
@click.argument("module", metavar="MODULE")
@_options
def publish(
    module: str,
    repository: str,
    name: str,
    card: str,
    version: int | None,
    aliases: tuple[str, ...],
    why: str,
    variants: tuple[str, ...],
    imports: tuple[str, ...],
    policy: Any,
    allow_ops: tuple[str, ...],
    sign_key: str | None,
    no_archive: bool,
    cache_dir: str | None,
    digest: str | None,
    as_json: bool,
) -> None:
    """Publish the module of the handle MODULE as the next version of a name.

    A version never changes: the same bytes again are the same version, and other bytes get the next
    number. The card is checked before anything is copied.

    \b
    Example:
      hub-tfx publish ./tuned --repository ./modules --name acme/words --card card.md --alias stable
    """
    from hub_tfx.repository.publish import publish as publish_module
    from hub_tfx.store.cache import ModuleCache

    safety = safety_policy(policy, allow_ops, imports)
    resolved = ModuleCache(cache_dir, policy=safety).resolve(module, digest=digest, verify=True)
    published = publish_module(
        resolved,
        repository,
        name,
        card=card,
        version=version,
        aliases=aliases,
        variants=variants,
        imports=imports,
        archive=not no_archive,
        sign_key=sign_key,
        why=why,
    )
    fields = asdict(published)
    if not published.signed_by:
        del fields["signed_by"]
    if as_json:
        print_json(fields)
        return
    print_fields(fields | {"created": "yes" if published.created else "no"})
    if not published.created:
        tell(f"{name}/{published.version} has these bytes already, and stays as it was published")
