"""The retraining pipeline again and again: what it learns, refuses, publishes and embeds."""

import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tfx.v1 as tfx
from cards import CARD
from judged import WORDS, labelled_rows
from tfx_helpers import write_tfrecord
from trust import trust_tuned

from hub_tfx.cli.main import run as run_main
from hub_tfx.cli.main import run_command
from hub_tfx.components.module_publisher import executor
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.generations import latest_generation
from hub_tfx.evaluate import job
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.history import Run, runs_of
from hub_tfx.lineage.store import open_sqlite
from hub_tfx.module.create import text_embedding_module
from hub_tfx.module.manifest import Manifest
from hub_tfx.repository.card import read_card
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import aliases, numbers
from hub_tfx.retrain.config import RetrainConfig, Window
from hub_tfx_pipelines.cli import run as run_group
from hub_tfx_pipelines.config_file.plain import to_yaml
from hub_tfx_pipelines.configs import EmbeddingsRoot, Gate, Publication, RetrainPipelineConfig
from hub_tfx_pipelines.run_local import run_retrain

ROWS = 150
SCHEMA = """
feature { name: "text" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature {
  name: "topic" type: BYTES domain: "topic"
  value_count { min: 1 max: 1 } presence { min_count: 1 }
}
string_domain { name: "topic" value: "no" value: "yes" }
"""
TOLD = {"base": 0.0, "poor": 0.0, "fair": 0.35, "good": 0.7, "best": 4.0, "new base": 0.0}
"""How well each module tells the topic of a word."""
LEARNS = "TEST_LEARNS"
"""The variable with the module that the next training makes; TFX imports ``run_fn`` once more."""


def run_fn(fn_args: Any) -> None:
    """Learns what the test says: what is tested is around it."""
    if LEARNS not in os.environ:
        raise ValueError("out of luck")
    tuned = Path(fn_args.custom_config["module_dir"])
    shutil.copytree(os.environ[LEARNS], tuned)
    shutil.copytree(tuned, fn_args.serving_model_dir)


def make_modules(folder: Path) -> dict[str, Path]:
    """Modules in which two neighbours, which are of different topics, differ by ``TOLD`` alone."""
    rng = np.random.default_rng(0)
    sign = np.array([(word % 2) * 2.0 - 1 for word in range(len(WORDS))])
    made = {}
    for name, told in TOLD.items():
        noise = np.repeat(rng.normal(size=(len(WORDS) // 2, 3)), 2, axis=0)
        vectors = noise + np.outer(sign, [told, 0, 0])
        made[name] = text_embedding_module(WORDS, vectors, folder / name).path
    return made


@dataclass
class Schedule:
    """Runs of one pipeline, one after the other; the trainer is cheap, all else is real."""

    folder: Path
    modules: Mapping[str, Path]
    base: str = "base"
    window: Window = field(default_factory=Window)
    embed_window: Window | None = None

    @property
    def config(self) -> RetrainPipelineConfig:
        (self.folder / "schema.pbtxt").write_text(SCHEMA)
        (self.folder / "card.md").write_text(CARD)
        return RetrainPipelineConfig(
            pipeline_root=str(self.folder / "artifacts"),
            data_root=str(self.folder / "data"),
            module=str(self.modules[self.base]),
            input_config=tfx.proto.Input(
                splits=[tfx.proto.Input.Split(name="rows", pattern="span-{SPAN}/*")]
            ),
            metadata_path=str(self.folder / "metadata.sqlite"),
            fine_tune=FineTuneConfig("topic", steps=1, batch_size=8),
            run_fn=f"{__name__}.run_fn",
            gate=Gate(
                config=EvaluateConfig(label="topic", replicates=200, folds=3),
                splits=("train", "eval"),
            ),
            publication=Publication(
                repository=str(self.folder / "modules"),
                name="acme/words",
                card=read_card(str(self.folder / "card.md")),
                aliases=("stable",),
            ),
            retrain=RetrainConfig(min_new_rows=100),
            window=self.window,
            embed_window=self.embed_window,
            schema_file=str(self.folder / "schema.pbtxt"),
            embed=EmbedConfig(keep=("text",)),
            embeddings=EmbeddingsRoot(root=str(self.folder / "embeddings")),
        )

    def die(self, place: str, learns: str | None = None) -> None:
        """A run that ends where it comes to a function, as if it was killed there."""

        def kill(*_: Any) -> None:
            raise KeyboardInterrupt  # Not an Exception: TFX leaves the step as it is.

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(place, kill)
            with pytest.raises(KeyboardInterrupt):
                self.run(learns)

    def run(self, learns: str | None = None) -> dict[str, Any]:
        return self.run_with(self.config, learns)

    def run_with(self, config: RetrainPipelineConfig, learns: str | None) -> dict[str, Any]:
        with pytest.MonkeyPatch.context() as patch:
            if learns:
                patch.setenv(LEARNS, str(self.modules[learns]))
            return run_retrain(config)

    def write(self, span: int, *, rows: int = ROWS, topic: str | None = None) -> None:
        """Rows of a span, which begin with those of all others, as they arrive."""
        made = [
            {"text": row["text"], "topic": topic or row["topic"]} for row in labelled_rows(rows)
        ]
        write_tfrecord(self.folder / "data" / f"span-{span}" / "rows.tfrecord.gz", made)

    def digest(self, module: str) -> str:
        return Manifest.of_directory(self.modules[module]).digest

    def history(self) -> list[Run]:
        return runs_of(open_sqlite(str(self.folder / "metadata.sqlite")), "retrain")

    def versions(self) -> tuple[dict[str, int], list[int]]:
        """What each alias stands for, and the numbers of the versions."""
        storage, name = open_storage(self.folder / "modules"), ModuleName("acme", "words")
        return aliases(storage, name), numbers(storage, name)

    def states(self) -> dict[str, str]:
        """Step -> state, of the last run."""
        return {step.name: step.state for step in self.history()[-1].steps}


@pytest.fixture
def schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    trust_tuned(monkeypatch)  # They are made in advance.
    # Saves the second at which modules are called for their cost.
    monkeypatch.setattr(job, "try_out", lambda *_: {})
    return Schedule(tmp_path, make_modules(tmp_path / "made"))


@pytest.mark.long
def test_first_run_then_nothing_new_then_worse_then_runs_that_die(
    schedule: Schedule, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule.write(1)
    first = schedule.run("good")
    assert first["decided"] == f"nothing has been learned yet: span 1, {ROWS} rows"
    assert first["parent_digest"] == schedule.digest("base")
    assert first["verdict"] == "blessed"
    assert first["published"].endswith("acme/words/1")
    assert (first["rows"], first["reused"]) == (ROWS, 0)
    assert first["embedded_with"] == schedule.digest("good")
    assert first["generation"] == 1

    (schedule.folder / "retrain.yaml").write_text(to_yaml("retrain", schedule.config))
    arguments = ["retrain", "--config", str(schedule.folder / "retrain.yaml")]
    capsys.readouterr()
    assert run_command(run_group, arguments, "hub-tfx run") == 0
    again = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert again["learn"] == "0"
    assert "nothing is new" in again["decided"]
    assert not {"verdict", "published", "digest"} & again.keys()
    assert (again["rows"], again["reused"]) == (str(ROWS), str(ROWS))
    assert again["embedded_with"] == schedule.digest("good")
    assert again["generation"] == "1"  # It holds the same embeddings.

    schedule.write(2, rows=ROWS + 10)
    worse = schedule.run("poor")
    assert worse["decided"] == f"span 2 new, {ROWS + 10} rows"
    assert worse["parent_digest"] == schedule.digest("good")
    assert worse["verdict"] == "not blessed"
    assert "published" not in worse
    assert (worse["rows"], worse["reused"]) == (ROWS + 10, ROWS)
    latest = latest_generation(schedule.folder / "embeddings")
    assert (latest.number, latest.rows) == (worse["generation"], worse["rows"])
    assert latest.module.digest == schedule.digest("good")

    schedule.base = "new base"
    schedule.die("hub_tfx.components.module_trainer.executor.upload", "best")
    schedule.die("hub_tfx.components.module_publisher.executor.write_module", "best")
    assert schedule.versions() == ({"stable": 2}, [1, 2])  # It died between this and its return.
    after = schedule.run("best")
    assert after["learn"] == 0
    assert after["decided"].startswith("nothing is new")
    assert after["embedded_with"] == schedule.digest("best")
    assert (after["rows"], after["reused"]) == (ROWS + 10, 0)
    assert schedule.versions() == ({"stable": 2}, [1, 2])

    *runs, in_trainer, in_publisher, _ = schedule.history()
    assert [step.name for step in in_trainer.open_steps] == ["ModuleTrainer"]
    assert [step.name for step in in_publisher.open_steps] == ["ModulePublisher"]
    assert [run.verdict for run in runs] == ["blessed", "skipped", "not blessed"]
    assert [run.published for run in runs] == ["acme/words/1", None, None]
    assert [run.spans for run in runs] == [(1,), (1,), (2,)]
    assert [(run.embedded, run.reused) for run in runs] == [(ROWS, 0), (0, ROWS), (10, ROWS)]
    assert runs[1].reason == again["decided"]
    bases = [str(schedule.modules["base"]), *[first["published"]] * 2]
    assert [run.base for run in runs] == bases
    capsys.readouterr()
    assert run_main(["history", "--metadata", schedule.config.metadata_path]) == 0
    told = capsys.readouterr().out
    assert "skipped" in told
    assert "acme/words/1" in told


@pytest.mark.slow
def test_seven_runs(schedule: Schedule) -> None:
    """What a year brings; one run fails half-way and is continued by the next."""
    schedule.write(1)
    schedule.run("fair")

    schedule.write(2)
    new_span = schedule.run("good")
    assert new_span["decided"] == f"span 2 new, {ROWS} rows"
    assert new_span["parent_digest"] == schedule.digest("fair")
    assert new_span["published"].endswith("acme/words/2")
    assert (new_span["embedded_with"], new_span["reused"]) == (schedule.digest("good"), 0)

    assert schedule.run()["learn"] == 0
    assert schedule.run()["learn"] == 0
    states = schedule.states()
    for step in ("RetrainGate", "ModuleTrainer", "ModuleEvaluator", "ModulePublisher"):
        assert states[step] == "CACHED"  # Also where there are no artifacts in the cache.

    schedule.write(3, topic="maybe")
    refused = schedule.run("best")
    assert refused["learn"] == 0
    assert refused["decided"].startswith("the examples have anomalies: topic in split train: ")
    assert refused["embedded_with"] == schedule.digest("good")

    schedule.write(3, rows=ROWS + 10)
    worse = schedule.run("poor")
    assert worse["decided"] == f"span 3 new, {ROWS + 10} rows"  # It has not been learned.
    assert (worse["verdict"], worse.get("published")) == ("not blessed", None)
    assert worse["embedded_with"] == schedule.digest("good")

    schedule.write(3, rows=ROWS + 20)
    with pytest.raises(ValueError, match="out of luck"):
        schedule.run()
    rewritten = schedule.run("best")
    assert schedule.states()["RetrainGate"] == "CACHED"  # It says the same as before.
    assert rewritten["decided"] == f"span 3 rewritten, {ROWS + 20} rows"
    assert rewritten["parent_digest"] == schedule.digest("good")
    assert rewritten["embedded_with"] == schedule.digest("best")

    schedule.base = "new base"
    new_base = schedule.run("poor")
    assert new_base["decided"].startswith("the base module is new: ")
    assert new_base["parent_digest"] == schedule.digest("new base")
    assert new_base["verdict"] == "not blessed"
    assert schedule.run()["learn"] == 0

    runs = schedule.history()
    assert [(run.verdict or "failed", run.published) for run in runs] == [
        ("blessed", "acme/words/1"),
        ("blessed", "acme/words/2"),
        ("skipped", None),
        ("skipped", None),
        ("skipped", None),
        ("not blessed", None),
        ("failed", None),
        ("blessed", "acme/words/3"),
        ("not blessed", None),
        ("skipped", None),
    ]
    assert [run.reused for run in runs if run.reused is not None] == [
        *(0, 0, ROWS, ROWS, ROWS),  # A new version embeds all rows again.
        *(ROWS, 0, ROWS + 20, ROWS + 20),
    ]


@pytest.mark.slow
def test_windows_of_spans_late_rewritten_and_touched(schedule: Schedule) -> None:
    schedule.window, schedule.embed_window = Window(last=2), Window(since="first")
    schedule.write(1)
    schedule.write(3)
    first = schedule.run("fair")
    assert first["decided"] == f"nothing has been learned yet: spans 1, 3, {2 * ROWS} rows"
    assert first["published"].endswith("acme/words/1")

    schedule.write(2)
    late = schedule.run("good")
    assert late["decided"] == f"span 2 new, {ROWS} rows"
    assert late["spans"] == "[2, 3]"
    assert late["rows"] == 3 * ROWS  # Span 1 is embedded as well.

    for file in (schedule.folder / "data").rglob("*.gz"):
        os.utime(file, (0, 0))
    assert schedule.run()["decided"].startswith("nothing is new: ")
    states = schedule.states()
    for step in ("WindowExampleGen", "CorpusExampleGen", "StatisticsGen", "Transform"):
        assert states[step] == "CACHED"

    schedule.write(2, rows=ROWS + 10)
    rewritten = schedule.run("poor")
    assert rewritten["decided"] == f"span 2 rewritten, {ROWS + 10} rows"
    assert rewritten["verdict"] == "not blessed"

    assert [run.spans for run in schedule.history()] == [(1, 3), (2, 3), (2, 3), (2, 3)]


@pytest.mark.slow
def test_since_what_is_published_the_rest_is_learned(schedule: Schedule) -> None:
    schedule.window = Window(since="published")
    schedule.write(1)
    schedule.write(2)
    assert schedule.run("fair")["published"].endswith("acme/words/1")

    schedule.write(3)
    worse = schedule.run("poor")
    assert (worse["decided"], worse["spans"]) == (f"span 3 new, {ROWS} rows", "[3]")

    schedule.write(1, rows=ROWS + 10)
    since = schedule.run("good")
    # Span 3 was learned, but by a module that was not published.
    assert since["decided"] == f"span 1 rewritten, {ROWS + 10} rows"
    assert since["spans"] == "[1, 3]"
    assert since["published"].endswith("acme/words/2")
    assert schedule.run()["decided"].startswith("nothing is new: span 3 ")


@pytest.mark.slow
@pytest.mark.parametrize("trains", [True, False], ids=["trains again", "takes it from the cache"])
def test_a_run_during_which_another_one_publishes(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch, trains: bool
) -> None:
    """Right before it does so itself, from the same spans; and once from more."""
    schedule.write(1)
    other = replace(schedule.config, enable_cache=not trains)
    inner = interrupt(monkeypatch, lambda: schedule.run_with(other, "best"))
    outer = schedule.run("good")
    digest = schedule.digest("best" if trains else "good")
    [inside] = inner
    assert inside["published"].endswith("acme/words/1")
    assert "published" not in outer
    assert outer["not_published"].startswith("already published: acme/words/1 ")
    assert outer["embedded_with"] == inside["embedded_with"] == digest
    assert schedule.versions() == ({"stable": 1}, [1])
    history = schedule.history()
    assert [(run.verdict, run.published) for run in history] == [
        ("already published", None),
        ("blessed", "acme/words/1"),
    ]
    assert history[0].reason.endswith(f"by the run {history[1].id}")
    assert schedule.run()["learn"] == 0


@pytest.mark.slow
def test_a_run_during_which_another_one_learns_more(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule.write(1)

    def more() -> dict[str, Any]:
        schedule.write(2)
        return schedule.run("good")

    interrupt(monkeypatch, more)
    late = schedule.run("fair")
    assert late["not_published"].startswith("outdated: the module was judged against ")
    assert late["not_published"].endswith("and acme/words/1 is in use by now")
    assert late["embedded_with"] == schedule.digest("good")
    assert schedule.versions() == ({"stable": 1}, [1])
    assert [run.verdict for run in schedule.history()] == ["outdated", "blessed"]
    assert schedule.run()["learn"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("caches", [True, False])
def test_a_run_that_died_after_it_had_published_is_not_trained_again(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch, caches: bool
) -> None:
    schedule.write(1)
    schedule.run("fair")
    schedule.write(2)
    with monkeypatch.context() as patch:
        patch.setattr(executor, "write_module", lambda *_: 1 / 0)  # What comes next.
        with pytest.raises(ZeroDivisionError):
            schedule.run("good")
    assert schedule.versions() == ({"stable": 2}, [1, 2])

    config = replace(schedule.config, enable_cache=caches)
    known = schedule.run_with(config, None)
    assert known["decided"] == (
        "nothing is new: span 2 was learned already (acme/words/2); the base module was learned "
        "already"
    )
    assert known["embedded_with"] == schedule.digest("good")
    assert schedule.run()["decided"].startswith("nothing is new: span 2 and the base module were")


def interrupt(patch: pytest.MonkeyPatch, by: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Has the next publication wait for something, once; what that gives is added to the list."""
    publish, made = executor.publish_once, list[dict[str, Any]]()

    def wait(*args: Any, **how: Any) -> Any:
        patch.setattr(executor, "publish_once", publish)
        with ThreadPoolExecutor(1) as thread:  # TFX keeps one run a thread.
            made.append(thread.submit(by).result())
        return publish(*args, **how)

    patch.setattr(executor, "publish_once", wait)
    return made
