"""Whole pipelines on Prism, by beam_pipeline_args alone: what is made does not differ."""

import pytest
from trust import trust_tuned
from whole_runs import (
    BEAM_STEPS,
    CONFIGS,
    ROWS,
    beam_steps,
    create_pipeline,
    run_pipeline,
    write_inputs,
)

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder / "cache"))
        trust_tuned(patch)
        write_inputs(folder)
        yield folder


@pytest.fixture(scope="module")
def made_here(inputs, tmp_path_factory):
    """Name -> what a pipeline makes with Beam in this process."""
    made = {}

    def make(name):
        if name not in made:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path_factory.mktemp(name))
                made[name] = run_pipeline(name, inputs, ())
        return made[name]

    return make


@pytest.mark.parametrize("name", CONFIGS)
def test_the_steps_that_run_beam_are_these(tmp_path, inputs, name):
    pipeline = create_pipeline(name, inputs, (), tmp_path)
    assert beam_steps(pipeline).keys() == BEAM_STEPS[name]


@pytest.mark.parametrize("name", CONFIGS)
def test_on_prism_with_workers_in_this_process(
    tmp_path, monkeypatch, inputs, made_here, prism, name
):
    expected = made_here(name)
    monkeypatch.chdir(tmp_path)
    engine = ("--runner=PrismRunner", f"--prism_location={prism}")
    assert run_pipeline(name, inputs, engine) == expected


@pytest.mark.parametrize("name", CONFIGS)
def test_with_workers_elsewhere(tmp_path, monkeypatch, inputs, made_here, worker_pool, name):
    expected = made_here(name)
    monkeypatch.chdir(tmp_path)
    started = worker_pool.log.read_text().count("Starting worker")
    assert run_pipeline(name, inputs, worker_pool.options) == expected
    started = worker_pool.log.read_text().count("Starting worker") - started
    assert started >= len(BEAM_STEPS[name]), "each Beam step has a worker"


def test_what_was_made_is_what_the_pipelines_are_for(made_here):
    """So that the comparisons above do not compare nothing."""
    embedded, tuned, again = (made_here(name) for name in CONFIGS)
    assert sum(map(len, embedded["EmbeddingGenerator", "embeddings"].values())) == ROWS
    assert tuned["ModulePublisher", "published"]["version"] == 1
    assert tuned["Evaluator", "blessing"] == 1
    assert tuned["StatisticsGen", "statistics"]
    assert again["ModuleEvaluator", "evaluation"]["verdict"] == "blessed"
    assert again["Transform", "transform_graph"].keys() >= {"topic"}
