"""The retraining pipeline on spans of the docstring corpus, run after run.

A span is a folder of labelled docstrings: the label is the package that a text comes from. All of
it is real: the training, the verdict on rows that no training reads, the versions, the embeddings.
What becomes of each run is said before it begins, and the demo fails where it comes otherwise.
"""

import os
import random
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.console import console, timed
from demo.corpus import Document, read_docstrings, write_tfrecord
from demo.labelled import labelled
from demo.publishing import ALIAS, NAME, gate, publication

if TYPE_CHECKING:
    from hub_tfx.lineage.history import Run

PIPELINE, LABEL = "retrain", "package"
ROWS = (900, 1300, 2300)
"""Documents of spans 1, 2 and 3."""
_BASE, _BASE_CARD = "demo/words", Path(__file__).with_name("words_card.md")
_JUDGING = "test"
_SHARE_LEARNED, _SHARE_EVAL = 0.6, 1 / 6
_SEED = 0


@dataclass(frozen=True)
class Span:
    """Labelled documents.

    Attributes:
      learned: those to learn from.
      judging: those by which modules are judged; somebody has looked at their labels twice.
    """

    learned: tuple[Document, ...]
    judging: tuple[Document, ...]

    @property
    def splits(self) -> dict[str, tuple[Document, ...]]:
        """The same as splits of ExampleGen."""
        end = int(len(self.learned) * _SHARE_EVAL)
        return {"train": self.learned[end:], "eval": self.learned[:end], _JUDGING: self.judging}

    @property
    def rows(self) -> int:
        return len(self.learned) + len(self.judging)

    def misspelt(self, package: str) -> "Span":
        """The same with one package by a name that it does not have."""
        return replace(
            self,
            learned=tuple(
                replace(d, package=f"{d.package}.py") if d.package == package else d
                for d in self.learned
            ),
        )

    def hurried(self, rows: int, wrong: float) -> "Span":
        """The same with few rows to learn from, of which a share has the label of another one."""
        few, chance = self.learned[:rows], random.Random(_SEED)
        places = [place for place in range(len(few)) if chance.random() < wrong]
        label = {a: few[b].package for a, b in zip(places, places[1:] + places[:1], strict=True)}
        learned = (replace(d, package=label.get(n, d.package)) for n, d in enumerate(few))
        return replace(self, learned=tuple(learned))


def spans_of(documents: Sequence[Document], rows: Sequence[int] = ROWS) -> list[Span]:
    """Spans of so many documents, none of them twice, drawn at random: the same ones every time."""
    shuffled = list(documents)
    random.Random(_SEED).shuffle(shuffled)
    spans = []
    for count in rows:
        drawn, shuffled = shuffled[:count], shuffled[count:]
        end = int(len(drawn) * _SHARE_LEARNED)
        spans.append(Span(tuple(drawn[:end]), tuple(drawn[end:])))
    return spans


@dataclass(frozen=True)
class Expected:
    """What has to become of a run.

    Attributes:
      verdict: the verdict.
      because: part of what was decided, or of the reason of the verdict.
      embedded: number of rows that are embedded; the others are copied.
      reused: number of rows that are copied.
      version: number of the version that is published; None for none.
    """

    verdict: str
    because: str
    embedded: int
    reused: int
    version: int | None = None


def check(run: "Run", expected: Expected) -> None:
    """Ends the demo if a run has come otherwise than expected."""
    published = None if expected.version is None else f"{NAME}/{expected.version}"
    told = " ".join(filter(None, [run.decided, run.reason]))
    pairs = {
        "verdict": (run.verdict, expected.verdict),
        "published": (run.published, published),
        "embedded": (run.embedded, expected.embedded),
        "reused": (run.reused, expected.reused),
    }
    wrong = [
        f"{name} is {is_!r}, not {to_be!r}" for name, (is_, to_be) in pairs.items() if is_ != to_be
    ]
    if expected.because not in told:
        wrong.append(f"nothing says {expected.because!r}: {told}")
    if wrong:
        raise SystemExit(
            f"demo: the run {run.id} has come otherwise than expected: {'; '.join(wrong)}"
        )


@dataclass(frozen=True)
class Loop:
    """Runs of one pipeline, one after the other.

    Attributes:
      folder: holds all that they read and write.
      documents: the whole corpus.
      spans: spans of its labelled part.
    """

    folder: Path
    documents: tuple[Document, ...]
    spans: tuple[Span, ...]

    @classmethod
    def begin(cls, folder: Path) -> "Loop":
        """Reads the corpus and draws spans of it."""
        with timed("Reading the docstrings of the standard library"):
            documents = read_docstrings()
            spans = spans_of(labelled(documents))
        rows = ", ".join(f"{span.rows:,}" for span in spans)
        console.print(f"  {len(spans)} spans of {rows} texts, labelled with their packages")
        return cls(folder, tuple(documents), tuple(spans))

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata.sqlite"

    @property
    def repository(self) -> Path:
        return self.folder / "modules"

    def publish_words(self, documents: Sequence[Document], dim: int) -> None:
        """Publishes vectors of the words of documents as the base module's next version."""
        from demo.vectors import learn
        from hub_tfx.module.create import text_embedding_module
        from hub_tfx.module.resolved import ResolvedModule
        from hub_tfx.repository.publish import publish

        with timed(f"Learning word vectors from {len(documents):,} texts, and publishing them"):
            words = learn([document.text for document in documents], dim=dim)
            module = text_embedding_module(
                words.words, words.vectors, self.folder / f"words-{len(documents)}"
            )
            published = publish(
                ResolvedModule.of_directory(module.path),
                self.repository,
                _BASE,
                card=_BASE_CARD,
                aliases=(ALIAS,),
            )
        console.print(
            f"  {len(words.words):,} words, {dim} dimensions: {_BASE}/{published.version}"
        )

    def write(self, number: int, span: Span) -> None:
        """Writes a span, in place of the one with that number if there is one."""
        folder = self.folder / "spans" / f"span-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        for name, documents in span.splits.items():
            write_tfrecord(documents, folder / name, shards=1)

    def run(self, title: str, expected: Expected) -> None:
        """Runs the pipeline, and says what has become of it."""
        from hub_tfx_pipelines.run_local import run_retrain

        with timed(title):
            run_retrain(self._config())
        run = self.history()[-1]
        becomes = f"published as {run.published}" if run.published else "nothing is published"
        console.print(f"  {run.verdict}: {run.reason}", markup=False)
        console.print(f"  {becomes}; {run.embedded:,} rows embedded, {run.reused:,} reused")
        check(run, expected)

    def run_first(self, titles: Sequence[str]) -> None:
        """A first version, a better one, nothing new, and a span whose labels are misspelt."""
        first, second, third = self.spans
        both = first.rows + second.rows
        self.publish_words(first.learned + first.judging, dim=24)
        self.write(1, first)
        because = "nothing has been learned yet: span 1"
        self.run(titles[0], Expected("blessed", because, first.rows, 0, version=1))
        self.write(2, second)
        self.run(titles[1], Expected("blessed", "span 2 new", both, 0, version=2))
        self.run(titles[2], Expected("skipped", "nothing is new", 0, both))
        self.write(3, third.misspelt("email"))
        because = "values missing from the schema: email.py"
        self.run(titles[3], Expected("skipped", because, third.rows, both))

    def history(self) -> "list[Run]":
        """All runs, the oldest first."""
        from hub_tfx.lineage.history import runs_of
        from hub_tfx.lineage.store import open_sqlite

        return runs_of(open_sqlite(str(self.metadata)), PIPELINE)

    def _config(self) -> Any:
        import tfx.v1 as tfx

        from hub_tfx.embed.config import EmbedConfig
        from hub_tfx.finetune.config import FineTuneConfig
        from hub_tfx.retrain.config import RetrainConfig, Window
        from hub_tfx_pipelines.configs import RetrainPipelineConfig

        schema = self.folder / "schema.pbtxt"
        schema.write_text(schema_of({d.package for span in self.spans for d in span.judging}))
        of_split = tfx.proto.Input.Split
        return RetrainPipelineConfig(
            pipeline_name=PIPELINE,
            pipeline_root=str(self.folder / "artifacts"),
            data_root=str(self.folder / "spans"),
            module=f"repo+{self.repository}//{_BASE}@{ALIAS}",
            input_config=tfx.proto.Input(
                splits=[
                    of_split(name=name, pattern=f"span-{{SPAN}}/{name}/*")
                    for name in ("train", "eval", _JUDGING)
                ]
            ),
            metadata_path=str(self.metadata),
            fine_tune=FineTuneConfig(
                label=LABEL, steps=300, batch_size=64, learning_rate=0.01, eval_every=150
            ),
            gate=gate(LABEL, _JUDGING),
            publication=publication(self.repository),
            retrain=RetrainConfig(min_new_rows=100),
            embed_window=Window(since="first"),
            schema_file=str(schema),
            embed=EmbedConfig(keep=("location", LABEL)),
        )


def schema_of(packages: Iterable[str]) -> str:
    """A Schema of TFX: every row has each feature once, and its label is one of the packages."""
    once = "type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 }"
    names = ("text", "name", "location")
    values = " ".join(f'value: "{package}"' for package in sorted(packages))
    lines = [f'feature {{ name: "{name}" {once} }}' for name in names]
    lines.append(f'feature {{ name: "{LABEL}" domain: "packages" {once} }}')
    return "\n".join([*lines, f'string_domain {{ name: "packages" {values} }}', ""])


def show_history(loop: Loop) -> None:
    """Prints what `hub-tfx history` does, and where there is more."""
    from hub_tfx.cli.history import as_history

    console.print("\n[bold]hub-tfx history[/bold]")
    console.print(as_history(loop.history(), console.width))
    console.print("\nThere is more of it:")
    for command in (
        f"hub-tfx history --metadata {_near(loop.metadata)} --run ID",
        f"hub-tfx repo ls {NAME} --repository {_near(loop.repository)}",
    ):
        console.print(f"  {command}", soft_wrap=True)


def _near(path: Path) -> str:
    return os.path.relpath(path)
