"""What Dataflow is sent by each Beam step: a service of this machine gets the jobs, no cloud does.

The steps are those of the pipelines, with Beam options that a config file names.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from apache_beam.io.filesystems import FileSystems
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api
from dataflow_service import REFUSAL, dataflow_service
from google.protobuf.message import Message
from judged import labelled_rows
from tfx.utils.proto_utils import proto_to_json
from tfx_helpers import examples_artifact
from whole_runs import BEAM_STEPS, CONFIGS, beam_steps, create_pipeline, write_inputs

from hub_tfx.artifacts import HubModule, write_module
from hub_tfx.beam.runner import raise_own_errors
from hub_tfx.cli.main import run
from hub_tfx.data.filesystems import copy_directory, read_bytes, write_bytes
from hub_tfx.errors import HubTfxError

pytestmark = pytest.mark.engines

IMAGE = "example.org/acme/hub-tfx:1"
OPTIONS = (
    "--runner=DataflowRunner",
    "--no_auth",
    "--project=acme",
    "--region=europe-west1",
    "--temp_location=gs://acme/temp",
    f"--sdk_container_image={IMAGE}",
    "--sdk_location=container",
    "--machine_type=n2-standard-4",
    "--num_workers=3",
    "--max_num_workers=9",
    "--disk_size_gb=70",
    "--network=private",
    "--subnetwork=regions/europe-west1/subnetworks/workers",
    "--no_use_public_ips",
    "--service_account_email=beam@acme.iam.gserviceaccount.com",
    "--labels=team=search",
    "--experiments=no_use_multiple_sdk_containers",
    "--number_of_worker_harness_threads=2",
)
SCHEMA = """
feature { name: "text" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
feature { name: "topic" type: BYTES value_count { min: 1 max: 1 } presence { min_count: 1 } }
"""
SPLITS = ("train", "eval")
COMMANDS = {
    "hub-tfx embed": ("embed", "--keep", "text"),
    "hub-tfx evaluate": ("evaluate", "--label", "topic", "--baseline", "BASE"),
}
STEPS = sorted((name, step) for name, steps in BEAM_STEPS.items() for step in steps)
JOBS = [*COMMANDS, *(f"{name}: {step}" for name, step in STEPS)]
OURS = {
    "hub-tfx embed": "Embed",
    "hub-tfx evaluate": "EmbedSample",
    "EmbeddingGenerator": "EmbedFiles/WriteEmbeddings",
    "ModuleEvaluator": "EmbedSample",
    "StatisticsGen": "GenerateStatistics[train]",
    "Transform": "TFXIOReadAndDecode",
    "Evaluator": "ExtractEvaluateAndWriteResults",
    "ImportExampleGen": "InputToRecord",
    "CsvExampleGen": "InputToRecord",
    "WindowExampleGen": "InputToRecord",
}
UNPICKLE = """
import sys
from apache_beam.internal import pickler
from apache_beam.portability import common_urns, python_urns
from apache_beam.portability.api import beam_runner_api_pb2 as beam_api

for path in sys.argv[1:]:
    pipeline = beam_api.Pipeline.FromString(open(path, "rb").read())
    for transform in pipeline.components.transforms.values():
        if transform.spec.urn == common_urns.primitives.PAR_DO.urn:
            function = beam_api.ParDoPayload.FromString(transform.spec.payload).do_fn
            if function.urn == python_urns.PICKLED_DOFN_INFO:
                print(type(pickler.loads(function.payload)[0]).__qualname__)
        elif transform.spec.urn == common_urns.composites.COMBINE_PER_KEY.urn:
            function = beam_api.CombinePayload.FromString(transform.spec.payload).combine_fn
            pickler.loads(function.payload)
"""


@dataclass(frozen=True)
class Job:
    """What Dataflow was sent: the path of the request, the job, the pipeline staged for it."""

    path: str
    described: dict[str, Any]
    staged: dict[str, bytes]

    @property
    def pipeline(self) -> beam_api.Pipeline:
        return beam_api.Pipeline.FromString(self.staged["pipeline.pb"])


@pytest.fixture(scope="module")
def inputs(bucket, tmp_path_factory):
    """What pipelines read, here and in the bucket."""
    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(folder / "cache"))
        write_inputs(folder)
        lines = "".join(f"{json.dumps(row)}\n" for row in labelled_rows(30))
        write_bytes("gs://acme/corpus/rows.jsonl", lines.encode())
        yield folder


@pytest.fixture(scope="module")
def artifacts(inputs, tmp_path_factory):
    """Input of a step -> an artifact, as the steps before it leave it."""
    folder = tmp_path_factory.mktemp("artifacts")
    made = {
        "examples": examples_artifact(folder / "examples", dict.fromkeys(SPLITS, labelled_rows(30)))
    }
    for name, kind in (("schema", "Schema"), ("model", "Model")):
        made[name] = getattr(tfx.types.standard_artifacts, kind)()
        made[name].uri = str(folder / name)
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    copy_directory(inputs / "base", str(folder / "model" / "Format-Serving"))
    for name in ("module", "baseline"):
        made[name] = HubModule()
        made[name].uri = str(folder / name)
        write_module(made[name], inputs / "base", {"handle": "base"})
    return made


@pytest.fixture(scope="module")
def jobs(inputs, artifacts, tmp_path_factory):
    """Sends a job, once, and returns what arrived."""
    sent = {}
    with dataflow_service() as service:

        def send(name):
            if name not in sent:
                staging = f"gs://acme/staging/{len(sent)}"
                options = [*OPTIONS, f"--staging_location={staging}"]
                options.append(f"--dataflow_endpoint={service.endpoint}")
                if name in COMMANDS:
                    send_command(COMMANDS[name], inputs, options)
                else:
                    send_step(name, inputs, options, artifacts, tmp_path_factory.mktemp("out"))
                ((path, described),) = service.requests
                service.requests.clear()
                sent[name] = Job(path, described, files_below(staging))
            return sent[name]

        yield send


def send_command(command, inputs, options):
    place = ["--module", str(inputs / "base"), "--input", "gs://acme/corpus/*"]
    given = [str(inputs / "better") if word == "BASE" else word for word in command]
    arguments = [*given, *place, "--output", f"gs://acme/{given[0]}", "--", *options]
    assert run(arguments) == 1


def send_step(name, inputs, options, artifacts, folder):
    """Does what a runner of TFX does with a step of a pipeline that a file describes."""
    pipeline_name, step = name.split(": ")
    component = beam_steps(create_pipeline(pipeline_name, inputs, options, folder))[step]
    spec = component.executor_spec
    context = spec.executor_class.Context(
        beam_pipeline_args=spec.beam_pipeline_args, tmp_dir=str(folder), unique_id="1"
    )
    given = {key: [artifacts[key]] for key in component.inputs if key in artifacts}
    outputs = {key: list(channel.get()) for key, channel in component.outputs.items()}
    for key, made in outputs.items():
        made[:] = made or [component.outputs[key].type()]
        made[0].uri = str(folder / key)
        Path(made[0].uri).mkdir()
    properties = {
        key: proto_to_json(value) if isinstance(value, Message) else value
        for key, value in component.exec_properties.items()
    }
    with pytest.raises(HubTfxError, match="Nothing runs here"), raise_own_errors():
        spec.executor_class(context).Do(given, outputs, properties)


def files_below(folder):
    found = FileSystems.match([f"{folder}/**"])[0].metadata_list
    return {file.path.rpartition("/")[2]: read_bytes(file.path) for file in found}


@pytest.mark.parametrize("name", JOBS)
def test_the_job_is_what_the_config_asks_for(jobs, name):
    job = jobs(name)
    assert job.path.startswith("/v1b3/projects/acme/locations/europe-west1/jobs")
    environment = job.described["environment"]
    (pool,) = environment["workerPools"]
    (container,) = pool["sdkHarnessContainerImages"]
    assert container["containerImage"] == IMAGE
    assert (pool["machineType"], pool["numWorkers"], pool["diskSizeGb"]) == ("n2-standard-4", 3, 70)
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 9
    assert pool["network"] == "private"
    assert pool["subnetwork"] == "regions/europe-west1/subnetworks/workers"
    assert pool["ipConfiguration"] == "WORKER_IP_PRIVATE"
    assert environment["serviceAccountEmail"] == "beam@acme.iam.gserviceaccount.com"
    assert "/acme/temp/" in environment["tempStoragePrefix"]
    assert "no_use_multiple_sdk_containers" in environment["experiments"]
    given = environment["sdkPipelineOptions"]["options"]
    assert given["number_of_worker_harness_threads"] == 2
    assert given["save_main_session"] is False
    assert job.described["labels"]["team"] == "search"


@pytest.mark.parametrize("name", JOBS)
def test_the_pipeline_is_that_of_the_step_and_runs_in_the_image(jobs, name):
    job = jobs(name)
    steps = {step.unique_name for step in job.pipeline.components.transforms.values()}
    assert any(OURS[name.rpartition(": ")[2]] in step for step in steps), steps
    for environment in job.pipeline.components.environments.values():
        image = beam_api.DockerPayload.FromString(environment.payload).container_image
        assert image == IMAGE
    # Nothing is packed for a worker that has the wheel: no SDK, no TFX, no session of ours.
    assert job.staged.keys() <= {"pipeline.pb", "submission_environment_dependencies.txt"}


def test_every_function_unpickles_where_only_the_wheel_is(tmp_path, jobs, worker_environment):
    paths = []
    for number, name in enumerate(JOBS):
        paths.append(tmp_path / f"{number}.pb")
        paths[-1].write_bytes(jobs(name).staged["pipeline.pb"])
    said = subprocess.run(
        ["python", "-c", UNPICKLE, *paths],
        env=worker_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert {"_Embed", "_WriteParts"} <= set(said.stdout.split())


def test_a_refused_job_is_one_line(inputs, capsys):
    with dataflow_service() as service:
        options = [*OPTIONS, f"--dataflow_endpoint={service.endpoint}"]
        send_command(COMMANDS["hub-tfx embed"], inputs, options)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"hub-tfx: error: Dataflow did not take the job: {REFUSAL}"


def test_every_config_is_tried():
    assert {name for name, _ in STEPS} == CONFIGS.keys()
