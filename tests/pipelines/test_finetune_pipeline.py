"""The fine-tuning pipeline under LocalDagRunner: what it leaves and what ML Metadata knows."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
import tfx.v1 as tfx
from cards import CARD
from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx_helpers import example, parents_of, write_tfrecord

from hub_tfx import testing
from hub_tfx.cli.main import run_command
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.checks import check_compatible
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.graph import ArtifactNode, ancestors_of
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.repository.card import parse_card
from hub_tfx.store.cache import ModuleCache
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.cli import run as run_group
from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig, create_pipeline
from hub_tfx_pipelines.publishing import Gate, Publication
from hub_tfx_pipelines.run_local import run_finetune

WORDS = testing.WORDS
TEXTS = [f"{one}  {other}" for one in WORDS for other in WORDS]
PARSED = parse_card(CARD)
TOPICS = ["pet" if {"cat", "dog"} & set(text.split()) else "rest" for text in TEXTS]


@dataclass(frozen=True)
class Run:
    base: Path
    config: FineTunePipelineConfig
    module: dict[str, Any]

    def steps(self) -> tuple[Any, dict[str, Any]]:
        """ML Metadata, and the steps of the newest run by name."""
        assert self.config.metadata_path
        store = open_sqlite(self.config.metadata_path)
        executions = metadata.latest_run(store, self.config.pipeline_name)
        return store, {execution.type.rsplit(".", 1)[-1]: execution for execution in executions}


@pytest.fixture(
    scope="session", params=["tf1_hub", pytest.param("saved_model", marks=pytest.mark.slow)]
)
def module_format(request: pytest.FixtureRequest) -> ModuleFormat:
    """One format a day: what follows from it is in the trainer, which has tests of both."""
    return request.param


@pytest.fixture(scope="module")
def run(text_module_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One full run in each format. The config names the classes in another order than Transform."""
    folder = tmp_path_factory.mktemp("finetune")
    (folder / "data" / "span-7").mkdir(parents=True)
    rows = [f"{text},{topic}" for text, topic in zip(TEXTS, TOPICS, strict=True)] * 2
    (folder / "data" / "span-7" / "a.csv").write_text("\n".join(["text,topic", *rows]) + "\n")
    config = FineTunePipelineConfig(
        pipeline_name="finetune",
        pipeline_root=str(folder / "artifacts"),
        data_root=str(folder / "data"),
        module=str(text_module_dir),
        fine_tune=FineTuneConfig(
            "topic",
            classes=("pet", "rest"),
            steps=50,
            batch_size=32,
            learning_rate=0.05,
            eval_every=50,
        ),
        example_gen="csv",
        input_config=tfx.proto.Input(
            splits=[tfx.proto.Input.Split(name="rows", pattern="span-{SPAN}/*")]
        ),
        metadata_path=str(folder / "metadata.sqlite"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder / "cache"))
        yield Run(text_module_dir, config, run_finetune(config))


def test_the_new_module_learned_and_is_what_its_parent_was(run: Run) -> None:
    module = Path(run.module["module"], "module")
    check_compatible(module, inspect(run.base))
    assert run.module["digest"] == Manifest.of_directory(module).digest
    assert float(run.module["metric_accuracy"]) > 0.8


def test_the_properties_of_the_new_module_say_where_it_comes_from(run: Run) -> None:
    config = run.config.fine_tune.to_json().encode()
    assert run.module["parent_digest"] == Manifest.of_directory(run.base).digest
    assert run.module["parent_digest"] != run.module["digest"]
    assert run.module["parent_handle"] == str(run.base)
    assert json.loads(run.module["spans"]) == [7]
    assert run.module["config_digest"] == hashlib.sha256(config).hexdigest()


def test_the_lineage_of_the_new_module_goes_back_to_the_raw_examples(run: Run) -> None:
    store, steps = run.steps()
    made = metadata.outputs(store, steps["ModuleTrainer"])["module"]
    lineage = ancestors_of(store, [made])
    parents = parents_of(lineage, made.id).values()

    def producer(node: ArtifactNode) -> str:
        return lineage.producer(node.id).name

    assert {(node.type_name, producer(node)) for node in parents} == {
        ("Examples", "CsvExampleGen"),
        ("Examples", "Transform"),
        ("Schema", "SchemaGen"),
        ("TransformGraph", "Transform"),
        ("hub_tfx.HubModule", "ModuleResolver"),
    }
    graph = next(node for node in parents if node.type_name == "TransformGraph")
    assert "CsvExampleGen" in map(producer, parents_of(lineage, graph.id).values())
    base = next(node for node in parents if node.type_name == "hub_tfx.HubModule")
    assert base.properties["digest"] == run.module["parent_digest"]


def test_the_model_serves_raw_examples_with_transform_inside(run: Run) -> None:
    store, steps = run.steps()
    uri = metadata.outputs(store, steps["ModuleTrainer"])["model"].uri
    model = tf.saved_model.load(str(Path(uri, "Format-Serving")))
    rows = [example({"text": text}).SerializeToString() for text in (" cat \n dog ", "hello  mat")]
    answer = model.signatures["serving_default"](examples=tf.constant(rows))
    assert answer["classes"].numpy().tolist() == [b"pet", b"rest"]
    assert answer["probabilities"].shape == (2, 2)


def test_a_second_run_is_taken_from_the_cache(run: Run) -> None:
    assert run_finetune(run.config) == run.module
    _, steps = run.steps()
    assert {step.last_known_state for step in steps.values()} == {mlmd.Execution.CACHED}


def published(run: Run, folder: Path, **options: Any) -> dict[str, Any]:
    """The result of the same run with an end: its steps so far come from the cache.

    Judged on all rows, since a part of them is too small to tell a module from chance.
    """
    gate = Gate(config=EvaluateConfig(label="topic", replicates=200), splits=("train", "eval"))
    publication = Publication(repository=str(folder / "r"), name="acme/words", card=PARSED)
    return run_finetune(replace(run.config, gate=gate, publication=publication, **options))


def test_the_new_module_is_judged_and_published(run: Run, tmp_path: Path) -> None:
    first = published(run, tmp_path)
    assert first["verdict"] == "blessed"
    assert first["published"] == f"repo+{tmp_path}/r//acme/words/1"
    assert Path(first["report"]).is_file()
    assert ModuleCache().resolve(first["published"]).digest == run.module["digest"]
    again = published(run, tmp_path)
    assert again["verdict"] == "not blessed"
    assert "published" not in again
    store, steps = run.steps()
    assert steps["ModuleTrainer"].last_known_state == mlmd.Execution.CACHED
    evaluation = metadata.outputs(store, steps["ModuleEvaluator"])["evaluation"]
    assert properties_of(evaluation)["baseline_handle"] == first["published"]


@pytest.mark.slow
def test_tfx_judges_the_serving_model_as_well(run: Run, tmp_path: Path) -> None:
    count = tfma.MetricThreshold(
        value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 1})
    )
    judge = tfma.EvalConfig(
        model_specs=[tfma.ModelSpec(signature_name="serving_default", label_key="topic")],
        slicing_specs=[tfma.SlicingSpec()],
        metrics_specs=[
            tfma.MetricsSpec(
                metrics=[tfma.MetricConfig(class_name="ExampleCount", threshold=count)]
            )
        ],
    )
    (tmp_path / "judge.json").write_text(json_format.MessageToJson(judge))
    result = published(run, tmp_path, eval_config=str(tmp_path / "judge.json"))
    assert (result["verdict"], result["model_blessed"]) == ("blessed", 1), result["reason"]


def test_a_preprocessor_has_a_resolver_and_feeds_the_trainer() -> None:
    config = FineTunePipelineConfig(
        pipeline_name="finetune",
        pipeline_root="/artifacts",
        data_root="/data",
        module="https://example.org/text/1",
        preprocessor="https://example.org/tokens/1",
        preprocessor_digest="0" * 64,
        fine_tune=FineTuneConfig("topic"),
    )
    assert config.handles == (config.module, config.preprocessor)
    steps = {component.id: component for component in create_pipeline(config).components}
    resolver = steps["PreprocessorResolver"]
    assert resolver.exec_properties["handle"] == config.preprocessor
    assert resolver.exec_properties["digest"] == config.preprocessor_digest
    assert steps["ModuleTrainer"].inputs["preprocessor"] is resolver.outputs["module"]


# --- The command line -----------------------------------------------------------------------------


def picture(brightness: int) -> bytes:
    """A PNG of one grey."""
    pixels = tf.fill([8, 8, 3], tf.constant(brightness, tf.uint8))
    png: bytes = tf.io.encode_png(pixels).numpy()
    return png


@pytest.mark.slow
def test_the_command_learns_from_images_though_there_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a training function that is found in the current directory, as `python -m` finds it."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    module = testing.image_module(tmp_path / "module")
    rows = [{"image": picture(5 * n), "shade": ("dark", "light")[n > 24]} for n in range(48)]
    write_tfrecord(tmp_path / "records" / "a.gz", rows)
    Path("mine.py").write_text("from hub_tfx.finetune.run_fn import run_fn as train\n")
    digest = Manifest.of_directory(module).digest
    given = f"--data-root records --output-root out --module module --digest {digest} "
    given += "--label shade --keep image --classes light dark --class-weights dark=2 "
    given += "--run-fn mine:train --steps 2 --eval-steps 1 --weight-decay 0.1 "
    given += "-- --direct_num_workers=2"
    arguments = ["fine-tune", *given.split()]
    assert run_command(run_group, arguments, "hub-tfx run") == 0, capsys.readouterr().err
    printed = dict(line.split("\t", 1) for line in capsys.readouterr().out.splitlines())
    assert printed["parent_digest"] == digest
    check_compatible(Path(printed["module"], "module"), inspect(module))
    config = FineTuneConfig(
        "shade",
        classes=("light", "dark"),
        class_weights={"dark": 2.0},
        steps=2,
        eval_steps=1,
        weight_decay=0.1,
    )
    assert printed["config_digest"] == hashlib.sha256(config.to_json().encode()).hexdigest()
