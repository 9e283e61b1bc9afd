"""Retraining that starts from what the last run made: generations, and their lineage."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tfx.v1 as tfx
from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx_helpers import examples_artifact
from trust import trust_tuned

from hub_tfx import testing
from hub_tfx.artifacts import HubModule
from hub_tfx.cli.main import run as run_main
from hub_tfx.components.latest_module import LatestModuleStrategy, latest_module
from hub_tfx.components.module_resolver.component import ModuleResolver
from hub_tfx.components.module_trainer.component import ModuleTrainer
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.manifest import Manifest
from hub_tfx_pipelines import metadata
from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig, create_pipeline
from hub_tfx_pipelines.run_local import run_finetune

CONFIG = FineTuneConfig("label", steps=2, batch_size=8, learning_rate=0.1)
Blessing = tfx.types.standard_artifacts.ModelBlessing
Examples = tfx.types.standard_artifacts.Examples


# --- What pipelines here are made of -------------------------------------------------------------


def run_fn(fn_args: Any) -> None:
    """Trains nothing, but leaves another module than it was given: what is tested is around it."""
    tuned = Path(fn_args.custom_config["module_dir"])
    shutil.copytree(fn_args.base_model, tuned)
    with (tuned / "generations.txt").open("a") as file:
        file.write("one more\n")
    shutil.copytree(tuned, fn_args.serving_model_dir)


def broken_run_fn(fn_args: Any) -> None:
    raise ValueError("out of luck")


def module_fn() -> None:
    text = tf.compat.v1.placeholder(tf.string, [None])
    table = tf.compat.v1.get_variable("table", [8, 2])
    ids = tf.strings.to_hash_bucket_fast(text, 8)
    hub.add_signature(inputs=text, outputs=tf.gather(table, ids))


@tfx.dsl.components.component
def Judge(  # noqa: N802
    module: tfx.dsl.components.InputArtifact[HubModule],
    blessing: tfx.dsl.components.OutputArtifact[Blessing],
    blessed: tfx.dsl.components.Parameter[int],
) -> None:
    """Stamps what TFX's Evaluator stamps."""
    blessing.set_int_custom_property("blessed", blessed)
    blessing.set_int_custom_property("current_model_id", module.id)


@dataclass(frozen=True)
class Schedule:
    """Runs of one pipeline, one after the other: examples, trainer and judge are cheap, all else is
    real."""

    folder: Path
    handle: Path | None = None

    @property
    def metadata_path(self) -> str:
        return str(self.folder / "metadata.sqlite")

    def run(
        self, span: int, *, blessed: bool = True, train: Any = run_fn, **warm_start: Any
    ) -> dict[str, Any]:
        """The new module's properties and ``uri``; ``warm_start`` is what latest_module takes."""
        rows = [{"text": word, "label": n % 2} for n, word in enumerate(testing.WORDS)]
        splits = {"train": rows, "eval": rows}
        examples = examples_artifact(self.folder / f"span-{span}", splits, span)
        importer = tfx.dsl.Importer(
            examples.uri,
            Examples,
            properties={"split_names": examples.split_names, "span": span},
        ).with_id("Examples")
        resolvers = [ModuleResolver(str(self.handle))] if self.handle else []
        fallback = resolvers[0].outputs["module"] if resolvers else None
        latest = latest_module(fallback=fallback, **warm_start)
        base = latest.outputs["module"]
        trainer = ModuleTrainer(
            importer.outputs["result"],
            base if self.handle else base.as_optional(),
            module_fn=None if self.handle else f"{__name__}.module_fn",
            config=CONFIG,
            run_fn=f"{__name__}.{train.__name__}",
        )
        judge = Judge(module=trainer.outputs["module"], blessed=int(blessed))
        self._run([importer, *resolvers, latest, trainer, judge])
        store, steps = self.steps()
        made = metadata.outputs(store, steps["ModuleTrainer"])["module"]
        return properties_of(made) | {"uri": made.uri}

    def _run(self, components: Sequence[Any]) -> None:
        connection = tfx.orchestration.metadata.sqlite_metadata_connection_config
        pipeline = tfx.dsl.Pipeline(
            pipeline_name="schedule",
            pipeline_root=str(self.folder / "artifacts"),
            components=list(components),
            enable_cache=True,
            metadata_connection_config=connection(self.metadata_path),
        )
        tfx.orchestration.LocalDagRunner().run(pipeline)
        store = open_sqlite(self.metadata_path)
        metadata.check_complete(metadata.latest_run(store, "schedule"), len(components))

    def steps(self) -> tuple[Any, dict[str, Any]]:
        """ML Metadata, and the steps of the newest run by name."""
        store = open_sqlite(self.metadata_path)
        executions = metadata.latest_run(store, "schedule")
        return store, {execution.type.rsplit(".", 1)[-1]: execution for execution in executions}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("warm")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder / "cache"))
        trust_tuned(patch)  # They are copies of the base.
        yield folder


@dataclass(frozen=True)
class Generations:
    schedule: Schedule
    base: str
    modules: list[dict[str, Any]]


@pytest.fixture(scope="module")
def generations(folder: Path) -> Generations:
    """A base, and three runs: the second module is not blessed, the third starts from a blessed."""
    base = testing.text_module(folder / "base" / "1", dim=2)
    schedule = Schedule(folder / "tuned", base)
    modules = [
        schedule.run(span=1),
        schedule.run(span=2, blessed=False),
        schedule.run(span=3, blessed_by="Judge"),
        schedule.run(span=3),
    ]
    return Generations(schedule, Manifest.of_directory(base).digest, modules)


# --- From run to run -----------------------------------------------------------------------------


def test_each_run_starts_from_what_the_last_one_made_and_the_first_from_the_base(
    generations: Generations,
) -> None:
    first, second, blessed, last = generations.modules
    assert first["parent_digest"] == generations.base
    assert second["parent_digest"] == first["digest"]
    assert last["parent_digest"] == blessed["digest"]
    assert [module["spans"] for module in generations.modules] == ["[1]", "[2]", "[3]", "[3]"]


def test_a_run_that_wants_a_blessed_module_passes_over_the_others(generations: Generations) -> None:
    first, _, blessed, _ = generations.modules
    assert blessed["parent_digest"] == first["digest"]


def test_the_parent_has_a_name_though_nobody_gave_it_one(generations: Generations) -> None:
    first, second, *_ = generations.modules
    assert first["parent_handle"] == str(generations.schedule.handle)
    assert "handle" not in first.keys() | second.keys()
    assert second["parent_handle"] == f"{first['uri']}/module"
    parent = Path(second["parent_handle"])
    assert Manifest.of_directory(parent).digest == second["parent_digest"]


def test_a_new_base_is_not_taken_from_the_cache_though_all_else_is_as_it_was(
    generations: Generations,
) -> None:
    _, steps = generations.schedule.steps()
    assert steps["ModuleTrainer"].last_known_state == mlmd.Execution.COMPLETE
    assert steps["ModuleResolver"].last_known_state == mlmd.Execution.CACHED
    digests = [generations.base, *(module["digest"] for module in generations.modules)]
    assert len(set(digests)) == 4  # The second and the third were made alike.


def test_the_lineage_goes_from_the_last_to_the_base_with_the_examples_of_each(
    generations: Generations, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, blessed, last = generations.modules
    arguments = ["lineage", last["uri"], "--metadata", generations.schedule.metadata_path]
    assert run_main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    artifacts = {artifact["id"]: artifact for artifact in document["artifacts"]}
    steps = {step["id"]: step for step in document["steps"]}

    def read(artifact: Any, key: str) -> Any:
        inputs = steps[artifact["made_by"]]["inputs"]
        [found] = [artifacts[use["artifact"]] for use in inputs if use["key"] == key]
        return found

    module = next(a for a in artifacts.values() if a["uri"] == last["uri"])
    for made, span in ((last, 3), (blessed, 3), (first, 1)):
        assert module["properties"]["digest"] == made["digest"]
        assert read(module, "examples")["properties"]["span"] == span
        module = read(module, "base_module")
    assert module["properties"]["digest"] == generations.base
    assert steps[module["made_by"]]["name"] == "ModuleResolver"
    assert document["links"] == []  # Steps tie all of it together.

    assert run_main(arguments) == 0
    told = capsys.readouterr().out
    digests = [last["digest"], blessed["digest"], first["digest"], generations.base]
    places = [told.index(f" digest {digest}") for digest in digests]
    assert places == sorted(places)
    assert told.count("from base_module: ") == 3


def test_without_a_base_the_first_run_builds_one_and_the_second_goes_on_from_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a run between the two failed."""
    schedule = Schedule(folder / "new")
    first = schedule.run(span=1)
    with pytest.raises(ValueError, match="out of luck"):
        schedule.run(span=2, train=broken_run_fn)
    second = schedule.run(span=2)
    assert first["module_fn"] == f"{__name__}.module_fn"
    assert not {"parent_digest", "parent_handle", "handle"} & first.keys()
    assert second["parent_digest"] == first["digest"]
    assert "module_fn" not in second
    assert run_main(["lineage", second["uri"], "--metadata", schedule.metadata_path]) == 0
    told = capsys.readouterr().out
    assert f"module_fn {__name__}.module_fn\n" in told
    assert told.count("from base_module: ") == 1


# --- What the resolver chooses -------------------------------------------------------------------


def artifacts(artifact_type: Any, *ids: int, **stamped: Sequence[int]) -> list[Any]:
    made = []
    for place, artifact_id in enumerate(ids):
        artifact = artifact_type()
        artifact.id = artifact_id
        for name, values in stamped.items():
            artifact.set_int_custom_property(name, values[place])
        made.append(artifact)
    return made


def choose(**inputs: list[Any]) -> dict[str, list[int]]:
    chosen = LatestModuleStrategy().resolve_artifacts(None, inputs)
    return {key: [artifact.id for artifact in found] for key, found in chosen.items()}


def test_the_newest_module_is_chosen_whatever_their_order() -> None:
    modules, base = artifacts(HubModule, 5, 9, 7), artifacts(HubModule, 20)
    assert choose(module=modules) == {"module": [9]}
    assert choose(module=modules, fallback=base) == {"module": [9], "fallback": []}


def test_without_any_it_is_the_fallback_or_none() -> None:
    assert choose(module=[], fallback=artifacts(HubModule, 2))["module"] == [2]
    assert choose(module=[]) == {"module": []}


@pytest.mark.parametrize(
    ("of", "blessed", "module", "blessing"),
    [
        ([5, 7, 9], [1, 1, 0], 7, 12),
        ([7, 7, 5], [1, 0, 1], 5, 13),  # A later verdict counts.
        ([7, 7, 5], [0, 1, 1], 7, 12),
        ([5, 7, 9], [0, 0, 0], 2, None),
        ([4, 4, 4], [1, 1, 1], 2, None),  # A module that is no longer there.
    ],
)
def test_a_module_is_chosen_by_the_last_verdict_on_it(
    of: list[int], blessed: list[int], module: int, blessing: int | None
) -> None:
    blessings = artifacts(Blessing, 11, 12, 13, current_model_id=of, blessed=blessed)
    chosen = choose(
        module=artifacts(HubModule, 5, 7, 9),
        blessing=blessings[::-1],
        fallback=artifacts(HubModule, 2),
    )
    assert chosen["module"] == [module]
    assert chosen["blessing"] == ([blessing] if blessing else [])


# --- The fine-tuning pipeline --------------------------------------------------------------------


def finetune_config(folder: Path, **options: Any) -> FineTunePipelineConfig:
    return FineTunePipelineConfig(
        pipeline_name="retraining",
        pipeline_root=str(folder / "artifacts"),
        data_root=str(folder / "data"),
        fine_tune=CONFIG,
        example_gen="csv",
        input_config=tfx.proto.Input(
            splits=[tfx.proto.Input.Split(name="rows", pattern="span-{SPAN}/*")]
        ),
        metadata_path=str(folder / "metadata.sqlite"),
        **options,
    )


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ({"module": "/x"}, ["ModuleResolver"]),
        ({"module": "/x", "warm_start": True}, ["ModuleResolver", "LatestModule"]),
        ({"module_fn": "x.f"}, []),
        ({"module_fn": "x.f", "warm_start": True}, ["LatestModule"]),
        ({"run_fn": "x.f"}, []),
    ],
)
def test_a_pipeline_finds_its_base_by_what_the_config_names(
    options: dict[str, Any], nodes: list[str], tmp_path: Path
) -> None:
    pipeline = create_pipeline(finetune_config(tmp_path, **options))
    ids = [component.id for component in pipeline.components]
    assert [name for name in ids if name in ("ModuleResolver", "LatestModule")] == nodes
    trainer = next(c for c in pipeline.components if c.id == "ModuleTrainer")
    given = trainer.inputs.get("base_module")
    assert (given.producer_component_id if given else None) == (nodes[-1] if nodes else None)


@pytest.mark.parametrize("options", [{}, {"module": "/x", "module_fn": "x.f"}])
def test_a_pipeline_starts_from_one_thing(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"give either module, .* or module_fn"):
        finetune_config(tmp_path, **options)


@pytest.mark.slow
def test_the_whole_pipeline_three_times_a_new_span_each(folder: Path) -> None:
    """Also: the last starts from a module of TF1 hub format that was built from nothing."""
    folder = folder / "whole"
    config = finetune_config(folder, module_fn=f"{__name__}.module_fn", warm_start=True)
    modules = []
    for span in (1, 2, 3):
        (folder / "data" / f"span-{span}").mkdir(parents=True)
        rows = [f"{word} {n},{n % 2}" for n, word in enumerate(testing.WORDS * 4)]
        (folder / "data" / f"span-{span}" / "rows.csv").write_text(
            "\n".join(["text,label", *rows]) + "\n"
        )
        modules.append(run_finetune(config))
    digests = [module["digest"] for module in modules]
    assert [module.get("parent_digest") for module in modules] == [None, *digests[:-1]]
    assert [module["spans"] for module in modules] == ["[1]", "[2]", "[3]"]
    with pytest.raises(ConfigError, match="a tuned module keeps that of its parent"):
        run_finetune(replace(config, module_format="saved_model"))
