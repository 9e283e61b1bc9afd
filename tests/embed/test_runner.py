"""Options of Beam that a job refuses before it starts."""

import pytest

from hub_tfx.embed.runner import make_pipeline
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
