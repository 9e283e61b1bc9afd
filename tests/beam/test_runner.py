"""Options of Beam that a job refuses before it starts."""

import pytest

from hub_tfx.beam.runner import make_pipeline
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


def test_a_job_server_may_have_options_that_beam_does_not():
    make_pipeline(["--runner=PortableRunner", "--job_endpoint=localhost:1", "--zzz=1"])
