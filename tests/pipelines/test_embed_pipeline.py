"""What the embedding pipeline is made of."""

import pytest

from hub_tfx.embed.config import EmbedConfig
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig, create_pipeline

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
