"""A pipeline that judges a module and publishes it: worse and equal are refused, better is not."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from cards import CARD
from judged import labelled_rows
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx_helpers import examples_artifact, parents_of

from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError, HandleError, InputError
from hub_tfx.evaluate import job
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.draw import as_text
from hub_tfx.lineage.graph import ancestors_of
from hub_tfx.lineage.history import runs_of
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.manifest import Manifest
from hub_tfx.repository.card import parse_card
from hub_tfx.repository.facts import ModuleFacts
from hub_tfx.store.cache import ModuleCache
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig, create_pipeline
from hub_tfx_pipelines.publishing import Gate, Publication, judge_and_publish
from hub_tfx_pipelines.run_local import with_baseline

Steps = Mapping[str, Any]
PARSED = parse_card(CARD)
CONFIG = EvaluateConfig(label="topic", replicates=200, folds=3)
SPLITS = ("train", "eval")


class Runs:
    """Runs of one pipeline, in which resolving stands for training."""

    def __init__(self, folder: Path, modules: Mapping[str, Path]):
        self.folder, self.modules = folder, modules
        self.examples = examples_artifact(
            folder / "examples", {split: labelled_rows(120) for split in SPLITS}
        )
        self.publication = Publication(
            repository=str(folder / "modules"),
            name="acme/words",
            card=PARSED,
            aliases=("stable",),
        )

    def run(
        self, module: str, baseline: str | None = None, publication: Publication | None = None
    ) -> tuple[Any, Steps]:
        """Judges a module; ML Metadata, and the steps of the run by name."""
        resolver = ModuleResolver(str(self.modules[module]))
        importer = tfx.dsl.Importer(
            self.examples.uri,
            tfx.types.standard_artifacts.Examples,
            properties={"split_names": self.examples.split_names},
        ).with_id("Examples")
        ending = judge_and_publish(
            Gate(config=CONFIG, baseline=baseline),
            publication or self.publication,
            examples=importer.outputs["result"],
            module=resolver.outputs["module"],
            feeding=EmbedConfig(),
            preprocessor=None,
        )
        connection = tfx.orchestration.metadata.sqlite_metadata_connection_config
        components = [importer, resolver, *ending]
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="publish",
            pipeline_root=str(self.folder / "artifacts"),
            components=components,
            enable_cache=True,
            metadata_connection_config=connection(str(self.folder / "metadata.sqlite")),
        )
        tfx.orchestration.LocalDagRunner().run(pipeline)
        store = open_sqlite(str(self.folder / "metadata.sqlite"))
        executions = metadata.latest_run(store, "publish")
        metadata.check_complete(executions, len(components))
        return store, {e.type.rpartition(".")[2]: e for e in executions}


@pytest.fixture(scope="module")
def runs(
    judged_modules: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("publish")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder / "cache"))
        # Saves the second at which modules are called for their cost.
        patch.setattr(job, "try_out", lambda *_: {})
        yield Runs(folder, judged_modules)


def made(store: Any, steps: Steps) -> tuple[dict[str, Any], Any]:
    """Properties of the evaluation, and the published module or None."""
    evaluation = metadata.outputs(store, steps["ModuleEvaluator"])["evaluation"]
    published = metadata.outputs(store, steps["ModulePublisher"]).get("published")
    return properties_of(evaluation), published


def live_modules(store: Any) -> int:
    """How many published modules ML Metadata has, whole or not."""
    return sum("/published/" in a.uri for a in store.get_artifacts_by_type("hub_tfx.HubModule"))


def test_versions_are_what_was_better_than_the_version_before(runs: Runs) -> None:
    """Three runs in their order, since each is judged against what the others have published."""
    store, steps = runs.run("worse")
    evaluation, first = made(store, steps)
    assert evaluation["verdict"] == "blessed"
    assert "There is no baseline" in evaluation["reason"]
    about = properties_of(first)
    assert (about["name"], about["version"]) == ("acme/words", 1)
    assert about["digest"] == Manifest.of_directory(runs.modules["worse"]).digest

    store, steps = runs.run("worse")
    evaluation, again = made(store, steps)
    assert evaluation["verdict"] == "not blessed"
    assert evaluation["baseline_digest"] == about["digest"]
    assert again is None
    assert live_modules(store) == 1

    store, steps = runs.run("better")
    evaluation, second = made(store, steps)
    assert evaluation["verdict"] == "blessed"
    assert evaluation["baseline_handle"] == about["handle"]
    assert properties_of(second)["version"] == 2

    store, steps = runs.run("worse")
    evaluation, refused = made(store, steps)
    assert (evaluation["verdict"], refused) == ("not blessed", None)
    assert runs.publication.in_use() == properties_of(second)["handle"]

    history = runs_of(store)
    said = ["blessed", "not blessed", "blessed", "not blessed"]
    assert [run.verdict for run in history] == said
    assert [run.published for run in history] == ["acme/words/1", None, "acme/words/2", None]
    assert history[3].reason == evaluation["reason"]

    lineage = ancestors_of(store, [second])
    assert {"module", "blessing", "evaluation"} == parents_of(lineage, second.id).keys()
    drawn = as_text(lineage)
    assert "verdict blessed" in drawn
    assert f"baseline_digest {about['digest']}" in drawn

    by_alias = ModuleCache().resolve(f"repo+{runs.publication.repository}//acme/words@stable")
    assert by_alias.digest == Manifest.of_directory(runs.modules["better"]).digest
    place = Path(runs.publication.repository, "acme", "words", "2")
    facts = ModuleFacts.from_json((place / "module.json").read_bytes())
    assert facts.blessing.blessed
    assert facts.blessing.baseline.digest == about["digest"]
    accuracy = next(m for m in facts.metrics if m.name == "probe_accuracy" and m.slice is None)
    assert accuracy.n == 120
    assert accuracy.value > accuracy.baseline
    assert facts.run


def test_what_was_published_elsewhere_is_not_the_baseline(runs: Runs) -> None:
    elsewhere = Publication(repository=str(runs.folder / "others"), name="acme/words", card=PARSED)
    store, steps = runs.run("worse", publication=elsewhere)
    evaluation, published = made(store, steps)
    assert "There is no baseline" in evaluation["reason"]
    assert properties_of(published)["version"] == 1


def test_a_step_taken_from_the_cache_publishes_nothing_again(runs: Runs) -> None:
    baseline = str(runs.modules["worse"])
    _, first = runs.run("better", baseline)
    _, again = runs.run("better", baseline)
    assert first["ModulePublisher"].last_known_state == mlmd.Execution.COMPLETE
    assert again["ModulePublisher"].last_known_state == mlmd.Execution.CACHED


# --- The fine-tuning pipeline --------------------------------------------------------------------


def config(tmp_path: Path, **options: Any) -> FineTunePipelineConfig:
    return FineTunePipelineConfig(
        pipeline_name="finetune",
        pipeline_root="/artifacts",
        data_root="/data",
        module="https://example.org/text/1",
        fine_tune=FineTuneConfig("topic", signature="default"),
        **options,
    )


def publication(tmp_path: Path, **options: Any) -> Publication:
    return Publication(**{"repository": str(tmp_path), "name": "a/b", "card": PARSED, **options})


def test_the_trained_module_is_judged_on_the_raw_rows_and_published(tmp_path: Path) -> None:
    gate = Gate(config=CONFIG, splits=("test",))
    made = create_pipeline(config(tmp_path, gate=gate, publication=publication(tmp_path)))
    steps = {component.id: component for component in made.components}
    trained = steps["ModuleTrainer"].outputs["module"]
    evaluator, publisher = steps["ModuleEvaluator"], steps["ModulePublisher"]
    assert evaluator.inputs["module"] is trained
    assert evaluator.inputs["examples"] is steps["ImportExampleGen"].outputs["examples"]
    assert evaluator.exec_properties["splits"] == '["test"]'
    feeding = EmbedConfig.from_json(evaluator.exec_properties["feeding"])
    assert feeding.signature == "default"
    assert publisher.inputs["module"] is trained
    assert publisher.inputs["blessing"] is evaluator.outputs["blessing"]
    in_use = steps["BaselineResolver"]
    assert evaluator.inputs["baseline"].output_key == in_use.outputs["module"].output_key
    assert in_use.exec_properties["handle"] == f"repo+{tmp_path}//a/b"


def test_without_a_publication_it_ends_with_the_verdict(tmp_path: Path) -> None:
    made = create_pipeline(config(tmp_path, gate=Gate(config=CONFIG)))
    ids = [component.id for component in made.components]
    assert ids[-2:] == ["ModuleTrainer", "ModuleEvaluator"]


def test_tfx_may_judge_the_serving_model_beside_it(tmp_path: Path) -> None:
    """A run of it is in test_finetune_pipeline.py."""
    (tmp_path / "judge.json").write_text("{}")
    gate = Gate(config=CONFIG, splits=("test",))
    made = create_pipeline(config(tmp_path, gate=gate, eval_config=str(tmp_path / "judge.json")))
    steps = {component.id: component for component in made.components}
    evaluator = steps["Evaluator"]
    assert evaluator.inputs["model"] is steps["ModuleTrainer"].outputs["model"]
    assert evaluator.inputs["examples"] is steps["ImportExampleGen"].outputs["examples"]
    assert evaluator.exec_properties["example_splits"] == '["test"]'
    for wrong in (None, "[", '{"model_spec": []}'):
        judge = tmp_path / f"{wrong is None}.json"
        if wrong is not None:
            judge.write_text(wrong)
        with pytest.raises(InputError, match=r"json is not a tfma.EvalConfig in JSON: "):
            create_pipeline(config(tmp_path, gate=gate, eval_config=str(judge)))


def test_what_is_published_must_be_judged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be judged first"):
        create_pipeline(config(tmp_path, publication=publication(tmp_path)))


@pytest.mark.parametrize(
    "wrong", [{"name": "words"}, {"aliases": ("latest",)}, {"aliases": ("1",)}]
)
def test_a_publication_with_a_bad_name_is_refused(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises((HandleError, ConfigError)):
        publication(tmp_path, **wrong)


def test_a_run_is_pinned_to_the_version_in_use(runs: Runs, tmp_path: Path) -> None:
    """The alias counts, which may have been moved back; a baseline that is named counts more."""
    gate = Gate(config=CONFIG)
    of_alias = with_baseline(config(tmp_path, gate=gate, publication=runs.publication)).gate
    assert of_alias.baseline == runs.publication.in_use()
    assert of_alias.baseline_digest == Manifest.of_directory(runs.modules["better"]).digest
    named = Gate(config=CONFIG, baseline=str(runs.modules["worse"]))
    pinned = with_baseline(config(tmp_path, gate=named, publication=runs.publication)).gate
    assert pinned.baseline_digest == Manifest.of_directory(runs.modules["worse"]).digest
    first = config(tmp_path, gate=gate, publication=publication(tmp_path))
    assert with_baseline(first) == first
