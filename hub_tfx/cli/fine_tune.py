"""`hub-tfx fine-tune`."""

import time
from dataclasses import asdict
from typing import Any

import click

from hub_tfx.cli.options import ManyValuesCommand, pairs
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
@click.option("--label", required=True, metavar="FEATURE", help="The feature to learn.")
@click.option("--output", required=True, metavar="DIR", help="New, or that of a run cut off.")
@click.option(
    "--task",
    type=click.Choice(["classification", "multilabel", "regression", "similarity"]),
    help="What is learned.  [classification]",
)
@click.option("--pair", metavar="FEATURE", help="For similarity: the second of each pair.")
@click.option("--signature", help="Which signature; `__call__` or `default` if not given.")
@click.option(
    "--input-map", multiple=True, metavar="KEY=FEATURE…", help="Which feature feeds which input."
)
@click.option("--steps", type=click.IntRange(1), help="Of training.  [1000]")
@click.option("--batch-size", type=click.IntRange(1), help="Rows a step.  [64]")
@click.option("--learning-rate", type=click.FloatRange(0), help="Of the head.  [0.001]")
@click.option(
    "--module-learning-rate", type=click.FloatRange(0), help="Of the module.  [that of the head]"
)
@click.option("--freeze", is_flag=True, help="Keep the module's weights.")
@click.option("--unfreeze-after", type=click.IntRange(0), help="With --freeze: until this step.")
@click.option("--hidden", multiple=True, type=click.IntRange(1), metavar="UNITS…")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True))
@click.option("--warmup-steps", type=click.IntRange(0))
@click.option("--decay", type=click.Choice(["none", "linear", "cosine"]))
@click.option("--eval-every", type=click.IntRange(1), help="Steps between evaluations.  [200]")
@click.option("--patience", type=click.IntRange(1), help="Evaluations without a better loss.")
@click.option("--seed", type=int)
@click.option("--cache-dir", metavar="DIR", help="Where modules are kept.  [TFHUB_CACHE_DIR]")
@json_option
def fine_tune(
    handle: str,
    inputs: tuple[str, ...],
    eval_inputs: tuple[str, ...],
    output: str,
    input_map: tuple[str, ...],
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
    given = {name: value for name, value in options.items() if value is not None}
    given["inputs"] = pairs("--input-map", input_map)
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    from hub_tfx.cli.training_progress import training_progress
    from hub_tfx.embed.job import EmbedModule
    from hub_tfx.finetune.config import FineTuneConfig
    from hub_tfx.finetune.curve import draw_learning_curve
    from hub_tfx.finetune.job import fine_tune_files
    from hub_tfx.store.cache import ModuleCache

    config = FineTuneConfig(**given)
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
