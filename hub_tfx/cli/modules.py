"""`hub-tfx resolve` and `hub-tfx inspect`. Neither imports TensorFlow."""

from collections.abc import Sequence
from typing import Any

import click

from hub_tfx.cli.access_options import access_options
from hub_tfx.cli.options import (
    cache_dir_option,
    import_option,
    safety_options,
    safety_policy,
    sha256_option,
    tags_option,
)
from hub_tfx.cli.output import (
    json_option,
    print_fields,
    print_json,
    print_path,
    print_table,
    print_text,
)
from hub_tfx.errors import SignatureError, UnsafeModuleError, UsageError
from hub_tfx.module.examine import examine
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.safety import Verdict
from hub_tfx.module.spec import ModuleSpec, TensorInfo
from hub_tfx.store.cache import ModuleCache, NewBytes
from hub_tfx.store.lock_file import LockFile, resolve_and_lock


@click.command(short_help="Bring a module into the cache and print where it is.")
@click.argument("handles", metavar="HANDLE…", nargs=-1, required=True)
@cache_dir_option
@sha256_option()
@click.option(
    "--verify-key",
    metavar="FILE",
    help="Refuse a module of a repository that is not signed by the private half of this public "
    "key.  [HUB_TFX_VERIFY_KEY]",
)
@click.option(
    "--lock",
    "lock_file",
    metavar="FILE",
    help="Write to this lock file which digest each handle stands for. Handles that it names "
    "already must stand for the same module, unless --refresh is given.",
)
@click.option(
    "--locked",
    "locked_file",
    metavar="FILE",
    help="Take only what this lock file names, at the digest that it names.",
)
@click.option(
    "--refresh",
    is_flag=True,
    help="Fetch again, and take new bytes under an old handle, which are an error otherwise.",
)
@safety_options
@import_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the path of the module.")
@json_option
@access_options
def resolve(
    handles: tuple[str, ...],
    cache_dir: str | None,
    digest: str | None,
    verify_key: str | None,
    lock_file: str | None,
    locked_file: str | None,
    refresh: bool,
    policy: Any,
    allow_ops: tuple[str, ...],
    imports: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Bring the module of HANDLE into the cache, verify it and print where it is.

    HANDLE is a URL as TF Hub takes it, a .tar or .tar.gz, or a directory; these may be in a bucket
    (gs://, s3://, az://) or on HDFS. It may be a model on Kaggle by its URL, or hf://OWNER/REPO for
    one on Hugging Face. A module that is in the cache already is not fetched again. With several
    handles, --json prints a list. One whose graphs hold what is
    on no list of harmless ops is refused, by name of the op and the node.

    \b
    Example:
      hub-tfx resolve https://tfhub.dev/google/nnlm-en-dim128/2
      hub-tfx resolve https://tfhub.dev/google/nnlm-en-dim128/2 --lock modules.lock.json
    """
    _check_locking(handles, digest, lock_file, locked_file, refresh=refresh)
    safety = safety_policy(policy, allow_ops, imports)
    cache = ModuleCache(cache_dir, verify_key=verify_key, policy=safety)
    if locked_file is not None:
        locked = LockFile.read(locked_file)
        modules = [locked.resolve(cache, handle) for handle in handles]
    elif lock_file is not None:
        modules = resolve_and_lock(cache, handles, lock_file, digest=digest, refresh=refresh)
    else:
        new_bytes: NewBytes | None = "follow" if refresh else None
        modules = [cache.resolve(h, digest=digest, new_bytes=new_bytes) for h in handles]
    _print_modules(modules, quiet=quiet, as_json=as_json)


def _check_locking(
    handles: Sequence[str],
    digest: str | None,
    lock_file: str | None,
    locked_file: str | None,
    *,
    refresh: bool,
) -> None:
    """Raises UsageError for options that contradict each other."""
    if digest is not None and len(handles) > 1:
        raise UsageError("--sha256 is that of one module: give one handle")
    if locked_file is not None and lock_file is not None:
        raise UsageError("--lock writes a lock file and --locked obeys one: give one of the two")
    if refresh and (digest is not None or locked_file is not None):
        raise UsageError("--refresh takes new bytes, and --sha256 and --locked refuse them")
    if locked_file is not None and digest is not None:
        raise UsageError("--locked says which digest a module has: leave --sha256 out")


def _print_modules(modules: Sequence[ResolvedModule], *, quiet: bool, as_json: bool) -> None:
    documents = [_resolved_fields(module) for module in modules]
    if as_json:
        print_json(documents[0] if len(documents) == 1 else documents)
    elif quiet:
        for module in modules:
            print_path(str(module.path))
    else:
        for number, fields in enumerate(documents):
            if number:
                print_text("")
            print_fields(fields | {"cache_hit": "yes" if fields["cache_hit"] else "no"})


def _resolved_fields(module: ResolvedModule) -> dict[str, Any]:
    signed = {"signed_by": module.signed_by} if module.signed_by else {}
    return _fields(module) | {"cache_hit": module.cache_hit} | signed


@click.command(short_help="Show what a module takes and gives, without running it.")
@click.argument("handle")
@cache_dir_option
@sha256_option()
@tags_option
@safety_options
@import_option
@json_option
def inspect(
    handle: str,
    cache_dir: str | None,
    digest: str | None,
    tags: tuple[str, ...] | None,
    policy: Any,
    allow_ops: tuple[str, ...],
    imports: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show what the module of HANDLE takes, gives and may do, without running it.

    The verdict names every op that is on no list of harmless ones, with its node and function. A
    module that the policy refuses is not kept; its verdict is shown all the same.

    \b
    Example:
      hub-tfx inspect ./my_module
    """
    safety = safety_policy(policy, allow_ops, imports)
    try:
        module = ModuleCache(cache_dir, policy=safety).resolve(handle, digest=digest)
    except UnsafeModuleError as error:
        if error.verdict is not None:
            _print_verdict(handle, error.verdict, as_json)
        raise
    spec = module.spec.tagged(tags)
    verdict = examine(module.path).verdict
    if as_json:
        used = {"used_tags": list(spec.tags[0]), "verdict": verdict.to_dict()}
        print_json(spec.to_dict() | used | _fields(module))
        return
    graphs = {"tags": " ".join(map(_tag_set, module.spec.tags))}
    if len(spec.variants) > 1:
        graphs["used_tags"] = _tag_set(spec.tags[0])
    fields = _fields(module) | graphs | {"default_signature": _default_signature(spec)}
    print_fields(fields | {"verdict": str(verdict)})
    print_text("")
    print_table(("signature", "direction", "key", "dtype", "shape"), _rows(spec))
    _print_findings(verdict)


def _print_verdict(handle: str, verdict: Verdict, as_json: bool) -> None:
    shown = str(ModuleHandle.parse(handle))  # Without a secret that may be in it.
    if as_json:
        print_json({"handle": shown, "verdict": verdict.to_dict()})
        return
    print_fields({"handle": shown, "verdict": str(verdict)})
    _print_findings(verdict)


def _print_findings(verdict: Verdict) -> None:
    if verdict.findings:
        print_text("")
        columns = ("rule", "op", "node", "function", "graph", "times", "why")
        rows = [
            (f.rule, f.op or "-", f.node or "-", f.function or "-", f.graph, str(f.count), f.why)
            for f in verdict.findings
        ]
        print_table(columns, rows)
    for note in verdict.notes:
        print_text(note)


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
