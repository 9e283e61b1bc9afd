"""Options of Beam that a job refuses before it starts."""

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from hub_tfx.beam.runner import beam_arguments, make_pipeline, processes_here
from hub_tfx.errors import ConfigError


@pytest.mark.parametrize(
    "runner", ["DaskRunner", "apache_beam.runners.dask.dask_runner.DaskRunner"]
)
def test_the_runner_that_loses_rows_is_refused(runner):
    with pytest.raises(ConfigError, match="loses rows"):
        make_pipeline([f"--runner={runner}"])


def test_a_template_is_no_run_and_refused_as_one():
    with pytest.raises(ConfigError, match="template_location"):
        make_pipeline(["--runner=DataflowRunner", "--template_location=gs://acme/job.json"])


@pytest.mark.parametrize("given", [["--direct_num_worker=2"], ["--direct_num_worker", "2"]])
def test_an_option_that_beam_does_not_have_is_refused_by_name(given):
    with pytest.raises(ConfigError, match="no option --direct_num_worker; did you mean --dir"):
        make_pipeline(given)
    with pytest.raises(ConfigError, match=r"no option --zzz$"):
        make_pipeline(["--zzz"])


@pytest.mark.parametrize(
    ("arguments", "processes"),
    [
        ([], 1),
        (["--direct_num_workers=2"], 1),  # Threads of this process.
        (["--direct_num_workers=2", "--direct_running_mode=multi_processing"], 2),
        (["--direct_num_workers=0", "--direct_running_mode=multi_processing"], None),
        (["--runner=DataflowRunner"], None),
        (["--runner=DataflowRunner", "--experiments=no_use_multiple_sdk_containers"], 1),
    ],
)
def test_worker_processes_share_the_cores_of_a_machine(arguments, processes):
    options = PipelineOptions(beam_arguments(arguments))
    assert processes_here(options) == processes
