"""`hub-tfx fine-tune`."""

import time
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hub_tfx.cli.fine_tune_options import base_options, fine_tune_config, fine_tune_options
from hub_tfx.cli.options import (
    ManyValuesCommand,
    cache_dir_option,
    current_directory_on_path,
    input_format_option,
    preprocessor_option,
    preprocessor_sha256_option,
    resolve_preprocessor,
    safety_options,
    safety_policy,
    sha256_option,
)
from hub_tfx.cli.output import json_option, print_fields, print_json, tell
from hub_tfx.cli.start import fast_imports
from hub_tfx.errors import UsageError
from hub_tfx.module.spec import ModuleFormat

if TYPE_CHECKING:
    from hub_tfx.store.cache import ModuleCache


@click.command("fine-tune", cls=ManyValuesCommand)
@base_options
@sha256_option()
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH…",
    help="Train on the rows of these files or globs, in any format that `embed` reads.",
)
@click.option(
    "--eval-input",
    "eval_inputs",
    multiple=True,
    metavar="PATH…",
    help="Evaluate on the rows of these files or globs.  [a fifth of the training rows]",
)
@click.option(
    "--output",
    required=True,
    metavar="DIR",
    help="Write to this directory: a new one, or that of a run that was cut off.",
)
@input_format_option
@preprocessor_option
@preprocessor_sha256_option
@fine_tune_options
@safety_options
@cache_dir_option
@json_option
def fine_tune(
    module: str | None,
    module_fn: str | None,
    module_format: ModuleFormat | None,
    digest: str | None,
    inputs: tuple[str, ...],
    eval_inputs: tuple[str, ...],
    output: str,
    input_format: str | None,
    preprocessor: str | None,
    preprocessor_digest: str | None,
    policy: Any,
    allow_ops: tuple[str, ...],
    cache_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a module on your rows, or train a new one.

    The new module is in module/ in the output; it keeps the format and the signatures of its
    parent. serving/ answers for serialized tf.Examples, training/ has checkpoints and TensorBoard
    events, and learning-curve.png shows how it learned. A run that was cut off resumes when it is
    started again.

    \b
    Examples:
      hub-tfx fine-tune --module ./my_module --input train.csv --label topic --output tuned
      hub-tfx fine-tune --module-fn mine:module_fn --input train.csv --label topic --output new
    """
    started_s = time.monotonic()
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    with fast_imports():
        from hub_tfx.cli.training_progress import training_progress
        from hub_tfx.finetune.curve import draw_learning_curve
        from hub_tfx.finetune.job import fine_tune_files
        from hub_tfx.store.cache import ModuleCache

    config = fine_tune_config(**options)
    cache = ModuleCache(cache_dir, policy=safety_policy(policy, allow_ops, config.imports))
    base = _base(module, digest, module_fn, module_format, cache)
    resolved = resolve_preprocessor(cache, preprocessor, preprocessor_digest)
    importing = current_directory_on_path() if module_fn else nullcontext()
    with training_progress(config.steps) as progress, importing:
        result = fine_tune_files(
            base,
            inputs,
            eval_inputs,
            output,
            config,
            progress.trained,
            resolved,
            input_format=input_format,
            report_rows=progress.read,
        )
    curve = f"{output}/learning-curve.png"
    draw_learning_curve(result.history, curve)
    if as_json:
        document = asdict(result) | {"seconds": time.monotonic() - started_s}
        del document["history"]
        print_json(document)
        return
    print_fields(
        {
            "module": result.module,
            "digest": result.digest,
            **({"parent digest": result.parent_digest} if result.parent_digest else {}),
            **{name: f"{value:.4f}" for name, value in result.metrics.items()},
            "steps": result.steps,
            "rows": ", ".join(f"{count:,} {name}" for name, count in result.rows.items()),
            "seconds": f"{time.monotonic() - started_s:.1f}",
            "learning curve": curve,
        }
    )
    if result.rows["left_out"]:
        first = result.left_out[0]
        tell(
            f"{result.rows['left_out']:,} rows left out, see {output}/left_out (the first is "
            f"{first.key}: {first.reason})"
        )


def _base(
    module: str | None,
    digest: str | None,
    module_fn: str | None,
    module_format: ModuleFormat | None,
    cache: "ModuleCache",
) -> Any:
    """The module to start from, or the one to build.

    Raises:
      UsageError: neither or both are given, a digest without a module, or the format is not that
        of the module.
    """
    from hub_tfx.finetune.new_module import NewModule, check_format

    if digest and module is None:
        raise UsageError("--sha256 is that of --module: give both")
    if module_fn is not None and module is None:
        return NewModule(module_fn, module_format or "tf1_hub")
    if module is None or module_fn is not None:
        raise UsageError(
            "give either --module, the module to start from, or --module-fn, which builds a new one"
        )
    base = cache.resolve(module, digest=digest, verify=True)
    check_format(module_format, base)
    return base
