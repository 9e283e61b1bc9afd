"""`hub-tfx resolve` and `hub-tfx inspect`. Neither imports TensorFlow."""

from collections.abc import Sequence
from typing import Any

import click

from hub_tfx.cli.options import access_options, cache_dir_option, sha256_option, tags_option
from hub_tfx.cli.output import (
    json_option,
    print_fields,
    print_json,
    print_path,
    print_table,
    print_text,
)
from hub_tfx.errors import SignatureError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleSpec, TensorInfo
from hub_tfx.store.cache import ModuleCache


@click.command(short_help="Bring a module into the cache and print where it is.")
@click.argument("handle")
@cache_dir_option
@sha256_option()
@click.option(
    "--verify-key",
    metavar="FILE",
    help="Refuse a module of a repository that is not signed by the private half of this public "
    "key.  [HUB_TFX_VERIFY_KEY]",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the path of the module.")
@json_option
@access_options
def resolve(
    handle: str,
    cache_dir: str | None,
    digest: str | None,
    verify_key: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Bring the module of HANDLE into the cache, verify it and print where it is.

    HANDLE is a URL as TF Hub takes it, a .tar or .tar.gz, or a directory; these may be in a bucket
    (gs://, s3://, az://) or on HDFS. It may be a model on Kaggle by its URL, or hf://OWNER/REPO for
    one on Hugging Face. A module that is in the cache already is not fetched again.

    \b
    Example:
      hub-tfx resolve https://tfhub.dev/google/nnlm-en-dim128/2
    """
    module = ModuleCache(cache_dir, verify_key=verify_key).resolve(handle, digest=digest)
    fields = _fields(module) | {"cache_hit": module.cache_hit}
    if module.signed_by:
        fields["signed_by"] = module.signed_by
    if as_json:
        print_json(fields)
    elif quiet:
        print_path(str(module.path))
    else:
        print_fields(fields | {"cache_hit": "yes" if module.cache_hit else "no"})


@click.command(short_help="Show what a module takes and gives, without running it.")
@click.argument("handle")
@cache_dir_option
@sha256_option()
@tags_option
@json_option
def inspect(
    handle: str,
    cache_dir: str | None,
    digest: str | None,
    tags: tuple[str, ...] | None,
    as_json: bool,
) -> None:
    """Show what the module of HANDLE takes and gives, without running it.

    \b
    Example:
      hub-tfx inspect ./my_module
    """
    module = ModuleCache(cache_dir).resolve(handle, digest=digest)
    spec = module.spec.tagged(tags)
    if as_json:
        used = {"used_tags": list(spec.tags[0])}
        print_json(spec.to_dict() | used | _fields(module))
        return
    graphs = {"tags": " ".join(map(_tag_set, module.spec.tags))}
    if len(spec.variants) > 1:
        graphs["used_tags"] = _tag_set(spec.tags[0])
    print_fields(_fields(module) | graphs | {"default_signature": _default_signature(spec)})
    print_text("")
    print_table(("signature", "direction", "key", "dtype", "shape"), _rows(spec))


def _fields(module: ResolvedModule) -> dict[str, Any]:
    return {
        "handle": module.handle,
        "path": str(module.path),
        "digest": module.digest,
        "format": module.spec.format,
        "size_bytes": module.size_bytes,
    }


def _tag_set(tags: Sequence[str]) -> str:
    return "{" + ", ".join(tags) + "}"


def _default_signature(spec: ModuleSpec) -> str:
    try:
        return spec.default_signature
    except SignatureError:
        return "none: name one"


def _rows(spec: ModuleSpec) -> list[tuple[str, ...]]:
    return [
        (name, direction, key, info.dtype, _shape(info))
        for name, signature in spec.signatures.items()
        for direction, infos in (("input", signature.inputs), ("output", signature.outputs))
        for key, info in infos.items()
    ]


def _shape(info: TensorInfo) -> str:
    return str(info).removeprefix(info.dtype)
