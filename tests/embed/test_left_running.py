"""Jobs that run elsewhere, and go on when we do not wait for them."""

import json

import pytest

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.output import lease as leases
from hub_tfx.errors import ConfigError, JobLeftRunningError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module
from hub_tfx.testing.remote import RemoteFileSystem

_OUTPUT = "remote://out"


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("m") / "text"))


@pytest.fixture
def bucket(tmp_path, module, monkeypatch):
    """A bucket in which three rows were embedded, and then the corpus has grown to four."""
    monkeypatch.setattr(leases, "_LEASE_S", 0.2)
    monkeypatch.setattr(leases, "_LOOK_S", 0.05)
    with RemoteFileSystem.at(tmp_path / "bucket"):
        (tmp_path / "bucket").mkdir()
        corpus = tmp_path / "bucket" / "in.csv"
        corpus.write_text("text\na\nb\nc\n")
        embed(module)
        corpus.write_text("text\na\nb\nc\nd\n")
        yield tmp_path / "bucket" / "out"


def embed(module, *beam_options):
    return embed_files(
        module, ["remote://in.csv"], _OUTPUT, EmbedConfig(), beam_options=beam_options
    )


def check_left_alone(bucket):
    """What the job and its workers need is there, and so is the earlier output."""
    assert json.loads((bucket / "manifest.json").read_text())["rows"] == 3
    assert len(list(bucket.glob(".tmp-*/module/saved_model.pb"))) == 1


def check_nothing_temporary(bucket):
    assert not [path for path in bucket.rglob("*") if ".tmp-" in str(path) and path.is_file()]


@pytest.mark.parametrize("runner", ["FnApiRunner", "DataflowRunner", "PortableRunner"])
def test_not_to_wait_for_a_job_is_refused(module, tmp_path, runner):
    (tmp_path / "in.csv").write_text("text\na\n")
    options = [f"--runner={runner}", "--no_wait_until_finish"]
    with pytest.raises(ConfigError, match=r"with --no_wait_until_finish nobody sees"):
        embed_files(module, [f"{tmp_path}/in.csv"], str(tmp_path / "out"), beam_options=options)
    assert not (tmp_path / "out").exists()


def test_a_runner_that_returns_before_its_job_has_ended_is_not_a_success(bucket, module):
    with pytest.raises(JobLeftRunningError, match=r"may still run, so remote://out/\.tmp-"):
        embed(module, "--runner=remote_runners.ReturningRunner")
    check_left_alone(bucket)
    assert (bucket / ".tmp-run.json").exists()
    assert embed(module).rows == 4
    check_nothing_temporary(bucket)


@pytest.mark.parametrize(
    ("runner", "told", "holds_the_output"),
    [
        ("InterruptedRunner", "the job job-7 was cancelled: a rerun resumes", False),
        ("UncancellableRunner", "the job job-7 cannot be cancelled (no connection) and may", True),
    ],
)
def test_ctrl_c_cancels_the_job_or_says_that_it_goes_on(
    bucket, module, caplog, runner, told, holds_the_output
):
    with pytest.raises(KeyboardInterrupt):
        embed(module, f"--runner=remote_runners.{runner}")
    assert told in caplog.text
    check_left_alone(bucket)
    assert (bucket / ".tmp-run.json").exists() == holds_the_output
    assert embed(module).rows == 4
    check_nothing_temporary(bucket)
