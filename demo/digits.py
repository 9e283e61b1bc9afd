"""An image module, transferred: `make demo-image`.

A convolutional network learns the handwritten digits 0-4 of scikit-learn, and its features become
an image module. Of the digits 5-9 it then sees 20 examples each, as PNG files in Parquet:
fine-tuned, frozen, and, to compare, as a module of the same graph that has learned nothing yet.
Head, steps, rates, examples are the same for all three. Accuracy is that on all other images of
5-9, after the last step: nothing is chosen by it. All of it is left in demo/out/digits.
"""

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

from rich.table import Table  # noqa: E402

from demo.console import console, timed  # noqa: E402
from demo.handwriting import NEW, OLD, Digits, feature_network, learn_features, read_digits  # noqa: E402
from hub_tfx.finetune.config import FineTuneConfig  # noqa: E402
from hub_tfx.finetune.job import fine_tune_files  # noqa: E402
from hub_tfx.module.create import image_feature_module  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402
from hub_tfx.module.spec import ModuleFormat  # noqa: E402

OUT = Path(__file__).parent / "out" / "digits"
PER_CLASS = 20
_KINDS = {
    "transfer": "module of 0-4, fine-tuned",
    "scratch": "module of fresh weights, fine-tuned",
    "frozen": "module of 0-4, frozen",
}
_FRESH_SEED = 1000  # Plus that of the run: no fresh module starts where that of 0-4 did.

Curve = Mapping[int, float]
"""Accuracy on held-out rows after so many steps."""


@dataclass(frozen=True)
class Summary:
    """What came out.

    Attributes:
      curves: kind -> one curve a seed.
    """

    curves: Mapping[str, Sequence[Curve]]

    @property
    def steps(self) -> list[int]:
        """Steps at which accuracy was measured."""
        return sorted(self.curves["transfer"][0])

    def accuracies(self, kind: str, step: int) -> list[float]:
        return [curve[step] for curve in self.curves[kind]]

    def margins(self, step: int) -> list[float]:
        """By which the transferred module beats that from scratch, for each seed."""
        pairs = zip(
            self.accuracies("transfer", step), self.accuracies("scratch", step), strict=True
        )
        return [transfer - scratch for transfer, scratch in pairs]


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--format", choices=("saved_model", "tf1_hub"), default="saved_model")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    started_s = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    summary = run(OUT, arguments.format, seeds=arguments.seeds, steps=arguments.steps)
    show(summary)
    out = os.path.relpath(OUT)
    console.print(f"\nDone in {time.monotonic() - started_s:.0f} s; everything is in {out}/:")
    console.print(f"  module of 0-4     {out}/module")
    console.print(f"  tuned for 5-9     {out}/transfer-0/module")
    console.print(f"  all figures       {out}/summary.json")
    console.print("One of the runs as a command:")
    console.print(
        f"  hub-tfx fine-tune --module {out}/module --input {out}/examples-0/train.parquet "
        f"--eval-input {out}/examples-0/held_out.parquet --label digit --output {out}/mine",
        soft_wrap=True,
    )


def run(
    out: Path,
    module_format: ModuleFormat = "saved_model",
    *,
    seeds: int = 5,
    steps: int = 200,
    epochs: int = 60,
) -> Summary:
    """Learns, transfers, compares; leaves modules and ``summary.json`` in ``out``.

    Args:
      out: a new directory.
      module_format: of all modules.
      seeds: how often; each draws other examples, another head and other fresh weights.
      steps: of fine-tuning.
      epochs: of learning the digits 0-4.
    """
    digits = read_digits()
    old, new = digits.of(OLD), digits.of(NEW)
    with timed(f"Learning the digits 0-4 from {len(old)} handwritten images"):
        network, accuracy = learn_features(old, epochs=epochs)
    console.print(f"  accuracy on a tenth of them, held out: {accuracy:.3f}")
    created = image_feature_module(network, out / "module", format=module_format)
    console.print(f"  its features are a module ({module_format}), digest {created.digest}")
    console.print(
        f"\n[bold]Transferring it to the digits 5-9, {PER_CLASS} examples each[/bold]\n"
        f"  accuracy on the {len(new) - PER_CLASS * len(NEW)} other images after {steps} steps:"
    )
    curves: dict[str, list[Curve]] = {kind: [] for kind in _KINDS}
    for seed in range(seeds):
        of_seed = compare(new, out, module_format, seed, steps)
        for kind, curve in of_seed.items():
            curves[kind].append(curve)
        each = "   ".join(f"{kind} {curve[steps]:.3f}" for kind, curve in of_seed.items())
        console.print(f"  draw {seed + 1} of {seeds}   {each}")
    summary = Summary(curves)
    (out / "summary.json").write_text(json.dumps(curves, indent=2))
    return summary


def compare(
    new: Digits, out: Path, module_format: ModuleFormat, seed: int, steps: int
) -> dict[str, Curve]:
    """Fine-tunes the module in ``out`` and one of fresh weights on one draw of examples."""
    examples = out / f"examples-{seed}"
    train, held_out = new.split(PER_CLASS, seed)
    train.write_parquet(examples / "train.parquet")
    held_out.write_parquet(examples / "held_out.parquet")
    fresh = out / f"fresh-{seed}"
    image_feature_module(feature_network(_FRESH_SEED + seed), fresh, format=module_format)
    curves: dict[str, Curve] = {}
    for kind in _KINDS:
        result = fine_tune_files(
            ResolvedModule.of_directory(fresh if kind == "scratch" else out / "module"),
            [str(examples / "train.parquet")],
            [str(examples / "held_out.parquet")],
            str(out / f"{kind}-{seed}"),
            fine_tune_config(seed, steps, freeze=kind == "frozen"),
        )
        curves[kind] = {step: metrics["accuracy"] for step, metrics in result.history}
    return curves


def fine_tune_config(seed: int, steps: int, *, freeze: bool) -> FineTuneConfig:
    """The same for all kinds; the rate is one at which scratch is at its best."""
    return FineTuneConfig(
        label="digit",
        steps=steps,
        batch_size=32,
        learning_rate=3e-3,
        freeze=freeze,
        eval_every=max(1, steps // 8),
        seed=seed,
    )


def show(summary: Summary) -> None:
    """Prints means over the seeds with their standard deviations, and the margin."""
    first, last = summary.steps[0], summary.steps[-1]
    table = Table(title="Accuracy on held-out images", box=None, title_justify="left")
    table.add_column("")
    for step in (first, last):
        table.add_column(f"{step} steps", justify="right")
    for kind, text in _KINDS.items():
        cells = [spread(summary.accuracies(kind, step), ".3f") for step in (first, last)]
        table.add_row(text, *cells)
    console.print()
    console.print(table)
    console.print("\nMargin of transfer over scratch, in points of accuracy:")
    for step in (first, last):
        margins = [100 * margin for margin in summary.margins(step)]
        wins = sum(margin > 0 for margin in margins)
        console.print(
            f"  after {step:>3} steps [bold]{spread(margins, '+.1f')}[/bold], "
            f"ahead in {wins} of {len(margins)} draws"
        )


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± standard deviation over the seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{form}} ± {deviation:{form.lstrip('+')}}"


if __name__ == "__main__":
    main()
