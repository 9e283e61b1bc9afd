"""Accuracy on held-out docstrings: tuned module, frozen module, head on random vectors.

    python -m benchmarks.finetune_text [--seeds 5] [--steps 600]

The label is the package that a docstring comes from, one of 20. The same head is trained on the
demo's module frozen, on the same module tuned, and on a frozen module with random word vectors.
Each seed splits the data in another way and starts another head.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402

from demo.corpus import Document, read_docstrings  # noqa: E402
from demo.labelled import labelled, split  # noqa: E402
from demo.vectors import learn  # noqa: E402
from hub_tfx.finetune.config import FineTuneConfig  # noqa: E402
from hub_tfx.finetune.job import fine_tune_files  # noqa: E402
from hub_tfx.module.create import text_embedding_module  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402


def write_jsonl(documents: Sequence[Document], path: Path) -> str:
    """Text and package, a document a line."""
    lines = [json.dumps({"text": d.text, "package": d.package}) + "\n" for d in documents]
    path.write_text("".join(lines))
    return str(path)


def main() -> None:
    """Prints the mean accuracy of each, its spread over the seeds, and the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    documents = read_docstrings()
    words = learn([document.text for document in documents])
    noise = np.random.default_rng(0).normal(size=words.vectors.shape)
    noise *= np.linalg.norm(words.vectors, axis=1, keepdims=True) / np.sqrt(noise.shape[1])
    chosen = labelled(documents)
    print(f"{len(chosen):,} texts of 20 packages, a quarter held out, {arguments.seeds} seeds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module_format in ("tf1_hub", "saved_model"):
            modules = {
                kind: ResolvedModule.of_directory(
                    text_embedding_module(
                        words.words, vectors, folder / module_format / kind, format=module_format
                    ).path
                )
                for kind, vectors in (("learned", words.vectors), ("random", noise))
            }
            accuracies: dict[str, list[float]] = {"random": [], "frozen": [], "tuned": []}
            for seed in range(arguments.seeds):
                train, held_out = split(chosen, seed)
                files = (
                    [write_jsonl(train, folder / "train.jsonl")],
                    [write_jsonl(held_out, folder / "held_out.jsonl")],
                )
                for kind, of_kind in accuracies.items():
                    config = FineTuneConfig(
                        label="package",
                        steps=arguments.steps,
                        batch_size=128,
                        learning_rate=0.01,
                        freeze=kind != "tuned",
                        eval_every=arguments.steps,
                        seed=seed,
                    )
                    base = modules["random" if kind == "random" else "learned"]
                    output = folder / module_format / f"{kind}-{seed}"
                    result = fine_tune_files(base, *files, str(output), config)
                    of_kind.append(result.metrics["accuracy"])
            print(module_format)
            for kind, of_kind in accuracies.items():
                each = ", ".join(f"{accuracy:.3f}" for accuracy in of_kind)
                spread = statistics.stdev(of_kind) if len(of_kind) > 1 else 0.0
                print(f"  {kind:<8}{statistics.mean(of_kind):.3f} ± {spread:.3f}   ({each})")


if __name__ == "__main__":
    main()
