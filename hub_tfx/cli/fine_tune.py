"""`hub-tfx fine-tune`."""

import time
from dataclasses import asdict
from typing import Any

import click

from hub_tfx.cli.fine_tune_options import fine_tune_config, fine_tune_options
from hub_tfx.cli.options import ManyValuesCommand
from hub_tfx.cli.output import json_option, print_fields, print_json


@click.command("fine-tune", cls=ManyValuesCommand)
@click.option("--module", "handle", required=True, help="URL, archive or directory of the module.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="PATH…",
    help="Files or globs with training rows, in any format that `embed` reads.",
)
@click.option(
    "--eval-input",
    "eval_inputs",
    multiple=True,
    metavar="PATH…",
    help="The same with evaluation rows; a fifth of the training rows if not given.",
)
@click.option("--output", required=True, metavar="DIR", help="New, or that of a run cut off.")
@fine_tune_options
@click.option("--cache-dir", metavar="DIR", help="Where modules are kept.  [TFHUB_CACHE_DIR]")
@json_option
def fine_tune(
    handle: str,
    inputs: tuple[str, ...],
    eval_inputs: tuple[str, ...],
    output: str,
    cache_dir: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Fine-tune a module on your rows; DIR/module is the new module.

    It keeps the format and the signatures of its parent. DIR/serving answers for serialized
    tf.Examples, DIR/training has checkpoints and TensorBoard events, DIR/learning-curve.png what
    happened. A run that was cut off goes on when it is started again.

    \b
    Example:
      hub-tfx fine-tune --module ./my_module --input train.csv --label topic --output tuned
    """
    started_s = time.monotonic()
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    from hub_tfx.cli.training_progress import training_progress
    from hub_tfx.embed.job import EmbedModule
    from hub_tfx.finetune.curve import draw_learning_curve
    from hub_tfx.finetune.job import fine_tune_files
    from hub_tfx.store.cache import ModuleCache

    config = fine_tune_config(**options)
    resolved = ModuleCache(cache_dir).resolve(handle)
    base = EmbedModule(str(resolved.handle), str(resolved.path), resolved.digest, resolved.spec)
    with training_progress(config.steps) as report:
        result = fine_tune_files(base, inputs, eval_inputs, output, config, report)
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
            "parent digest": result.parent_digest,
            **{name: f"{value:.4f}" for name, value in result.metrics.items()},
            "steps": result.steps,
            "rows": ", ".join(f"{count:,} {name}" for name, count in result.rows.items()),
            "seconds": f"{time.monotonic() - started_s:.1f}",
            "learning curve": curve,
        }
    )
