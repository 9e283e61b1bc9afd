"""What the embedding pipeline is made of."""

import pytest
import tfx.v1 as tfx

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError, ConfigFileError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.store.lock_file import Locked, add_to_lock_file
from hub_tfx_pipelines.configs import FineTunePipelineConfig, Gate
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline
from hub_tfx_pipelines.splits import InputConfig, InputSplit, OutputConfig, OutputSplit

CONFIG = {
    "pipeline_name": "embed",
    "pipeline_root": "/artifacts",
    "data_root": "/data",
    "module": "https://example.org/text/1",
}


@pytest.mark.parametrize(
    ("example_gen", "name"), [("import", "ImportExampleGen"), ("csv", "CsvExampleGen")]
)
def test_the_steps_are_an_example_gen_the_resolver_and_the_generator(example_gen, name):
    pipeline = create_pipeline(EmbedPipelineConfig(**CONFIG, example_gen=example_gen))
    steps = {component.id for component in pipeline.components}
    assert steps == {name, "ModuleResolver", "EmbeddingGenerator"}


def test_a_preprocessor_has_a_resolver_of_its_own():
    handle, digest = "https://example.org/tokens/1", "0" * 64
    config = EmbedPipelineConfig(**CONFIG, preprocessor=handle, preprocessor_digest=digest)
    steps = {component.id: component for component in create_pipeline(config).components}
    resolver = steps["PreprocessorResolver"]
    assert (resolver.exec_properties["handle"], resolver.exec_properties["digest"]) == (
        handle,
        digest,
    )
    assert steps["EmbeddingGenerator"].inputs["preprocessor"] is resolver.outputs["module"]


def test_the_config_reaches_the_generator():
    config = EmbedConfig(keep=("id",), batch_size=7)
    pipeline = create_pipeline(EmbedPipelineConfig(**CONFIG, embed=config))
    (generator,) = (c for c in pipeline.components if c.id == "EmbeddingGenerator")
    assert EmbedConfig.from_json(generator.exec_properties["config"]) == config


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ((), ["--runner=FnApiRunner", "--no_save_main_session"]),
        (
            ("--direct_num_workers=2",),
            ["--direct_num_workers=2", "--runner=FnApiRunner", "--no_save_main_session"],
        ),
        (("--runner=PrismRunner",), ["--runner=PrismRunner", "--no_save_main_session"]),
        (("--save_main_session", "--runner", "X"), ["--save_main_session", "--runner", "X"]),
    ],
)
def test_no_step_takes_the_runner_that_fetches_a_binary_at_run_time(given, passed):
    pipeline = create_pipeline(EmbedPipelineConfig(**CONFIG, beam_pipeline_args=given))
    assert pipeline.beam_pipeline_args == passed


def test_splits_are_those_of_tfx_and_its_own_messages_are_taken_as_well():
    patterns = tfx.proto.Input(splits=[tfx.proto.Input.Split(name="all", pattern="{SPAN}/*")])
    shares = tfx.proto.SplitConfig(partition_feature_name="user")
    shares.splits.add(name="train", hash_buckets=2)
    output = tfx.proto.Output(split_config=shares)
    config = EmbedPipelineConfig(**CONFIG, input_config=patterns, output_config=output)
    assert config.input_config == InputConfig((InputSplit("all", "{SPAN}/*"),))
    assert config.output_config == OutputConfig((OutputSplit("train", 2),), "user")
    assert config.input_config.to_proto() == patterns
    assert config.output_config.to_proto() == output
    assert create_pipeline(config).components


def test_a_lock_file_pins_every_module_of_a_pipeline_when_it_is_made(tmp_path):
    lock, handles = tmp_path / "x.json", [CONFIG["module"], "https://example.org/tokens/1"]
    add_to_lock_file(lock, {handle: Locked(f"{n}" * 64) for n, handle in enumerate(handles)})
    given = {**CONFIG, "preprocessor": handles[1], "lock_file": str(lock)}
    pipeline = create_pipeline(EmbedPipelineConfig(**given))
    resolvers = [c for c in pipeline.components if c.id.endswith("Resolver")]
    assert [c.exec_properties["digest"] for c in resolvers] == ["0" * 64, "1" * 64]
    assert not any(str(lock) in str(c.exec_properties) for c in pipeline.components)
    with pytest.raises(ConfigError, match="is not in the lock file"):
        create_pipeline(EmbedPipelineConfig(**{**given, "module": "https://example.org/other/1"}))
    with pytest.raises(ConfigError, match="but the lock file"):
        create_pipeline(EmbedPipelineConfig(**given, module_digest="2" * 64))
    lock.write_text("{")
    with pytest.raises(ConfigFileError, match=r"x\.json:1: it is not JSON"):
        EmbedPipelineConfig(**given)


def test_a_lock_file_pins_the_baseline_of_a_gate(tmp_path):
    lock = tmp_path / "x.json"
    add_to_lock_file(lock, {"/base": Locked("1" * 64), "/best": Locked("2" * 64)})
    config = FineTunePipelineConfig(
        pipeline_root="/artifacts",
        data_root="/data",
        module="/base",
        fine_tune=FineTuneConfig("topic"),
        gate=Gate(config=EvaluateConfig(label="topic"), baseline="/best"),
        lock_file=str(lock),
    ).pinned()
    assert (config.module_digest, config.gate.baseline_digest) == ("1" * 64, "2" * 64)
    assert config.lock_file is None
