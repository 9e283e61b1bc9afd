"""The retraining pipeline on spans of the docstring corpus, run after run.

A span is one folder of labelled docstrings: the label is the package that a text comes from. All of
it is real: the training, the verdict on rows that no training reads, the versions, the embeddings.
What becomes of each run is said before, and checked.
"""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.console import console, timed
from demo.corpus import Document, write_tfrecord
from demo.publishing import gate, publication
from demo.splits import output_splits

if TYPE_CHECKING:
    from hub_tfx.lineage.history import Run

PIPELINE = "retrain"
LABEL = "package"
SPLITS = {"train": 5, "eval": 1, "test": 4}
"""Shares of a span. Nothing is learned from the last, by which modules are judged."""
_SEED = 0


def spans_of(documents: Sequence[Document], *rows: int) -> list[list[Document]]:
    """Spans of so many documents each, no document twice, drawn at random: equal every time."""
    shuffled = list(documents)
    random.Random(_SEED).shuffle(shuffled)
    ends = [sum(rows[: number + 1]) for number in range(len(rows))]
    return [shuffled[end - count : end] for end, count in zip(ends, rows, strict=True)]


def misspelt(documents: Sequence[Document], package: str) -> list[Document]:
    """The same documents, with one package by a name that no schema knows."""
    return [replace(d, package=f"{d.package}.py") if d.package == package else d for d in documents]


def mislabelled(documents: Sequence[Document], share: float) -> list[Document]:
    """The same documents, of which a share has the label of another one: by that alone they pass."""
    chance = random.Random(_SEED)
    wrong = [n for n in range(len(documents)) if chance.random() < share]
    moved = {n: documents[m].package for n, m in zip(wrong, wrong[1:] + wrong[:1], strict=True)}
    return [replace(d, package=moved.get(n, d.package)) for n, d in enumerate(documents)]


@dataclass(frozen=True)
class Loop:
    """Runs of one pipeline, one after the other.

    Attributes:
      folder: holds all that they read and write.
      base: handle of the module that everything begins with.
      packages: the labels that there are, as the schema says.
    """

    folder: Path
    base: str
    packages: Sequence[str]

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata.sqlite"

    @property
    def config(self) -> Any:
        from hub_tfx.embed.config import EmbedConfig
        from hub_tfx.finetune.config import FineTuneConfig
        from hub_tfx.retrain.config import RetrainConfig
        from hub_tfx_pipelines.configs import RetrainPipelineConfig
        from hub_tfx_pipelines.splits import InputConfig
        import tfx.v1 as tfx

        schema = self.folder / "schema.pbtxt"
        schema.write_text(_schema(self.packages))
        return RetrainPipelineConfig(
            pipeline_name=PIPELINE,
            pipeline_root=str(self.folder / "artifacts"),
            data_root=str(self.folder / "spans"),
            module=self.base,
            input_config=tfx.proto.Input(splits=[tfx.proto.Input.Split(name="docstrings", pattern="span-{SPAN}/*")]),
            output_config=output_splits(SPLITS),
            metadata_path=str(self.metadata),
            fine_tune=FineTuneConfig(
                label=LABEL, steps=300, batch_size=64, learning_rate=0.01, eval_every=150
            ),
            gate=gate(LABEL, "test"),
            publication=publication(self.folder / "modules"),
            retrain=RetrainConfig(min_new_rows=100),
            schema_file=str(schema),
            embed=EmbedConfig(keep=("location", LABEL)),
        )

    def write(self, span: int, documents: Sequence[Document]) -> None:
        """A span, in place of the one with that number if there is one."""
        folder = self.folder / "spans" / f"span-{span}"
        shutil.rmtree(folder, ignore_errors=True)
        write_tfrecord(documents, folder)

    def run(self) -> None:
        from hub_tfx_pipelines.run_local import run_retrain
        run_retrain(self.config)


def _schema(packages: Sequence[str]) -> str:
    """A Schema of TFX: every row has each feature once, and its label is one of these."""
    one = "type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 }"
    others = [f'feature {{ name: "{name}" {one} }}' for name in ("text", "name", "location")]
    values = " ".join(f'value: "{package}"' for package in sorted(packages))
    label = f'feature {{ name: "{LABEL}" domain: "packages" {one} }}'
    return "\n".join([*others, label, f'string_domain {{ name: "packages" {values} }}', ""])
