"""A job for Dataflow, translated without credentials or a cloud: what would be sent is there."""

import json
import subprocess
from dataclasses import replace

import apache_beam as beam
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.data.files import find_files
from hub_tfx.data.filesystems import copy_directory, read_bytes, write_bytes
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.output.layout import OutputLayout
from hub_tfx.embed.pipeline import EmbedFiles, JobOutput
from hub_tfx.embed.task import make_task
from hub_tfx.module.resolved import ResolvedModule

pytestmark = pytest.mark.engines

IMAGE = "example.org/acme/hub-tfx:1"
OPTIONS = (
    "--runner=DataflowRunner",
    "--no_auth",
    "--project=acme",
    "--region=europe-west1",
    "--temp_location=gs://acme/temp",
    "--staging_location=gs://acme/staging",
    "--template_location=gs://acme/job.json",
    f"--sdk_container_image={IMAGE}",
    "--machine_type=n2-standard-4",
    "--num_workers=3",
    "--max_num_workers=9",
    "--disk_size_gb=70",
)
STEPS = {
    "EmbedFiles/ReadRecordBatches/Spread",
    "EmbedFiles/ReadRecordBatches/Read",
    "EmbedFiles/EmbedRecordBatches/Embed",
    "EmbedFiles/WriteEmbeddings/Write",
    "EmbedFiles/WriteRejected/Write",
    "EmbedFiles/CommitParts/Commit",
}
UNPICKLE = """
import sys
from apache_beam.internal import pickler
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api

pipeline = beam_api.Pipeline.FromString(open(sys.argv[1], "rb").read())
for transform in pipeline.components.transforms.values():
    if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
        function = beam_api.ParDoPayload.FromString(transform.spec.payload).do_fn
        assert function.urn == python_urns.PICKLED_DOFN_INFO, function.urn
        print(type(pickler.loads(function.payload)[0]).__qualname__)
"""


@pytest.fixture(scope="module")
def module(bucket, module_dir):
    """A module in a bucket, which is where workers elsewhere find it."""
    copy_directory(module_dir, "gs://acme/module/1")
    return replace(ResolvedModule.of_directory(module_dir), remote_path="gs://acme/module/1")


@pytest.fixture(scope="module")
def corpus(bucket):
    lines = [json.dumps({"n": n, "text": f"the cat {n}"}) for n in range(3)]
    write_bytes("gs://acme/corpus/0.jsonl", "\n".join(lines).encode())
    return "gs://acme/corpus/*.jsonl"


@pytest.fixture(scope="module")
def job(module, corpus):
    """What Dataflow would be sent, and the pipeline that was staged for it."""
    files = find_files([corpus])
    task = make_task(module, EmbedConfig(keep=("n",)), files, infer_schema(files), "parquet")
    with beam.Pipeline(options=PipelineOptions(beam_arguments(OPTIONS))) as pipeline:
        _ = pipeline | "EmbedFiles" >> EmbedFiles(
            [JobOutput(task, OutputLayout.of_directory("gs://acme/out", "parquet"))]
        )
    staged = FileSystems.match(["gs://acme/staging/**"])[0].metadata_list
    (path,) = (file.path for file in staged if file.path.endswith("/pipeline.pb"))
    return json.loads(read_bytes("gs://acme/job.json")), read_bytes(path)


def test_the_job_has_the_steps_of_ours(job):
    pipeline = beam_api.Pipeline.FromString(job[1])
    assert {step.unique_name for step in pipeline.components.transforms.values()} >= STEPS


def test_the_job_has_the_image_and_the_workers_that_were_asked_for(job):
    environment = job[0]["environment"]
    (pool,) = environment["workerPools"]
    (container,) = pool["sdkHarnessContainerImages"]
    assert container["containerImage"] == IMAGE
    assert (pool["machineType"], pool["numWorkers"], pool["diskSizeGb"]) == ("n2-standard-4", 3, 70)
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 9
    (used,) = beam_api.Pipeline.FromString(job[1]).components.environments.values()
    assert beam_api.DockerPayload.FromString(used.payload).container_image == IMAGE


def test_every_dofn_unpickles_where_only_the_wheel_is(tmp_path, job, worker_environment):
    path = tmp_path / "pipeline.pb"
    path.write_bytes(job[1])
    said = subprocess.run(
        ["python", "-c", UNPICKLE, path],
        env=worker_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert {"_Embed", "_WriteParts"} <= set(said.stdout.split())
