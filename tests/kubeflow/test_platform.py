"""What a config says about the platform, in what is compiled for it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import GOLDEN, IMAGE, assert_golden, executors, without_versions
from google.cloud.aiplatform_v1 import AcceleratorType
from manifests import check_pipeline_job, check_workflow

from hub_tfx.cli.main import run_command
from hub_tfx.errors import ConfigError
from hub_tfx.lineage.connection import Connection
from hub_tfx_kubeflow.cli import compile_
from hub_tfx_kubeflow.dataflow import with_workers
from hub_tfx_kubeflow.platform import missing_password, put_into_job, put_into_workflow
from hub_tfx_pipelines.configs import EmbedPipelineConfig
from hub_tfx_pipelines.platform import (
    PlatformConfig,
    SecretKey,
    StepPlatform,
    StepResources,
    Toleration,
)

GPU = StepPlatform(
    gpu=2,
    gpu_type="NVIDIA_TESLA_T4",
    memory="32Gi",
    timeout="1h30m",
    node_pool="gpus",
    image="registry.example.org/gpu:1",
    env={"MODE": "fast"},
    tolerations=(Toleration(operator="Exists", effect="NoExecute"),),
)
KUBEFLOW = PlatformConfig(
    image=IMAGE,
    service_account="trainer",
    env={"MODE": "slow", "B": "1"},
    secrets={"DB_PASSWORD": SecretKey("mlmd", "password")},
    defaults=StepResources(
        cpu="500m",
        memory="4Gi",
        retries=2,
        retry_delay="90s",
        node_selector={"example.org/disk": "ssd"},
        tolerations=(Toleration(key="cloud.google.com/gke-spot", value="true"),),
    ),
    steps={"EmbeddingGenerator": GPU, "ModuleResolver": StepPlatform(retries=0)},
)
VERTEX = PlatformConfig(
    service_account="trainer@project.iam.gserviceaccount.com",
    env={"MODE": "slow"},
    defaults=StepResources(cpu="1500m", memory="4G", retries=2),
    steps={
        "EmbeddingGenerator": StepPlatform(
            gpu=2, gpu_type="nvidia-tesla-t4", image="registry.example.org/gpu:1", retry_delay="2m"
        ),
        "ModuleResolver": StepPlatform(retries=0),
    },
)


def golden_workflow() -> Any:
    return yaml.safe_load((GOLDEN / "embed_pipeline.yaml").read_text())


def golden_job() -> Any:
    return json.loads((GOLDEN / "embed_pipeline.json").read_text())


def placed(workflow: Any, platform: PlatformConfig) -> dict[str, Any]:
    """Templates by step after the platform was put into a workflow, which stays one to Argo."""
    put_into_workflow(workflow, platform)
    check_workflow(workflow)
    return {t["name"]: t for t in workflow["spec"]["templates"] if "container" in t}


# --- Kubeflow Pipelines ---------------------------------------------------------------------------


def test_a_step_of_a_workflow_has_what_its_config_says() -> None:
    before = {t["name"]: t for t in golden_workflow()["spec"]["templates"]}["embeddinggenerator"]
    workflow = golden_workflow()
    template = placed(workflow, KUBEFLOW)["embeddinggenerator"]
    container = template["container"]
    assert workflow["spec"]["serviceAccountName"] == "trainer"
    assert container["image"] == "registry.example.org/gpu:1"
    assert container["args"] == before["container"]["args"]
    assert container["resources"] == {
        "limits": {"cpu": "500m", "memory": "32Gi", "nvidia.com/gpu": "2"}
    }
    kept = len(before["container"]["env"])
    assert container["env"][:kept] == before["container"]["env"]
    assert container["env"][kept:] == [
        {"name": "MODE", "value": "fast"},
        {"name": "B", "value": "1"},
        {
            "name": "DB_PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": "mlmd", "key": "password"}},
        },
    ]
    assert template["nodeSelector"] == {
        "example.org/disk": "ssd",
        "cloud.google.com/gke-nodepool": "gpus",
        "cloud.google.com/gke-accelerator": "nvidia-tesla-t4",
    }
    assert template["tolerations"] == [
        {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true"},
        {"operator": "Exists", "effect": "NoExecute"},
    ]
    assert template["activeDeadlineSeconds"] == 5400
    assert template["retryStrategy"] == {
        "limit": 2,
        "retryPolicy": "Always",
        "backoff": {"duration": "90s", "factor": 2},
    }


def test_another_step_of_a_workflow_has_what_all_have() -> None:
    templates = placed(golden_workflow(), KUBEFLOW)
    resolver, examples = templates["moduleresolver"], templates["importexamplegen"]
    assert "retryStrategy" in examples
    assert not {"retryStrategy", "activeDeadlineSeconds"} & resolver.keys()
    for template in (resolver, examples):
        assert template["container"]["image"] == IMAGE
        assert template["container"]["resources"]["limits"] == {"cpu": "500m", "memory": "4Gi"}
        assert template["nodeSelector"] == {"example.org/disk": "ssd"}


def test_a_gpu_type_selects_nodes_only_for_a_step_with_a_gpu() -> None:
    platform = PlatformConfig(
        defaults=StepResources(gpu_type="nvidia-l4"),
        steps={"EmbeddingGenerator": StepPlatform(gpu=1)},
    )
    templates = placed(golden_workflow(), platform)
    assert "cloud.google.com/gke-accelerator" in templates["embeddinggenerator"]["nodeSelector"]
    assert "nodeSelector" not in templates["moduleresolver"]


@pytest.mark.parametrize(
    ("platform", "complaint"),
    [
        (
            PlatformConfig(service_account="trainer@project.iam.gserviceaccount.com"),
            r"is not one of Kubernetes: on a cluster, name the one that workload identity",
        ),
        (
            PlatformConfig(env={"WORKFLOW_ID": "a"}),
            "WORKFLOW_ID is a variable that Kubeflow Pipelines sets: give yours another name",
        ),
    ],
)
def test_what_a_workflow_cannot_have_is_refused(platform: PlatformConfig, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        put_into_workflow(golden_workflow(), platform)


def test_a_password_that_no_secret_gives_is_told() -> None:
    metadata = Connection.parse("mysql://me@db.example.org/mlmd?password_env=DB_PASSWORD")
    (said,) = missing_password(metadata, PlatformConfig())
    assert "write DB_PASSWORD: NAME/KEY under platform.secrets" in said
    assert not missing_password(metadata, KUBEFLOW)
    assert not missing_password(Connection.parse("grpc://db.example.org:1"), PlatformConfig())
    assert not missing_password(None, PlatformConfig())


# --- Vertex AI Pipelines --------------------------------------------------------------------------


def test_a_step_of_a_job_has_what_its_config_says() -> None:
    job, before = golden_job(), golden_job()
    put_into_job(job, VERTEX)
    check_pipeline_job(job)
    container, other = (executors(job)[step] for step in ("EmbeddingGenerator", "ModuleResolver"))
    assert container["image"] == "registry.example.org/gpu:1"
    assert container["args"] == executors(before)["EmbeddingGenerator"]["args"]
    assert container["env"] == other["env"] == [{"name": "MODE", "value": "slow"}]
    assert container["resources"] == {
        "cpuLimit": 1.5,
        "memoryLimit": 4.0,
        "accelerator": {"type": "NVIDIA_TESLA_T4", "count": "2"},
    }
    assert AcceleratorType[container["resources"]["accelerator"]["type"]]
    assert (other["image"], other["resources"]) == (IMAGE, {"cpuLimit": 1.5, "memoryLimit": 4.0})
    tasks = job["pipelineSpec"]["root"]["dag"]["tasks"]
    policy = {"maxRetryCount": 2, "backoffDuration": "120s", "backoffFactor": 2}
    assert tasks["EmbeddingGenerator"]["retryPolicy"] == policy
    assert tasks["ImportExampleGen"]["retryPolicy"] == {**policy, "backoffDuration": "60s"}
    assert "retryPolicy" not in tasks["ModuleResolver"]


def test_tasks_before_an_exit_handler_get_the_same() -> None:
    """TFX puts them into the component of one task."""
    job, plain = golden_job(), golden_job()
    spec = job["pipelineSpec"]
    spec["components"]["_tfx_dag"] = {"dag": spec["root"]["dag"]}
    spec["root"] = {"dag": {"tasks": {"_tfx_dag": {"componentRef": {"name": "_tfx_dag"}}}}}
    put_into_job(job, VERTEX)
    put_into_job(plain, VERTEX)
    assert executors(job) == executors(plain)
    assert spec["components"]["_tfx_dag"]["dag"] == plain["pipelineSpec"]["root"]["dag"]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"timeout": "1h"}, "has timeout, .*a PipelineJob has no limit on the time of a step; lea"),
        ({"node_pool": "a"}, "has node_pool, .*its machines are chosen by cpu, memory and gpu_typ"),
        ({"node_selector": {"a": "b"}}, "has node_selector, .*compile a .yaml for Kubeflow"),
        ({"tolerations": (Toleration(operator="Exists"),)}, "has tolerations, which Vertex AI"),
        ({"secrets": {"A": SecretKey("a", "b")}}, "has secrets, .*let the service account read it"),
        ({"gpu": 1}, "has gpu, but no gpu_type, which Vertex AI Pipelines needs"),
    ],
)
def test_what_a_job_cannot_have_is_refused(given: Any, complaint: str) -> None:
    platform = PlatformConfig(steps={"ModuleResolver": StepPlatform(**given)})
    with pytest.raises(ConfigError, match=f"platform: ModuleResolver {complaint}"):
        put_into_job(golden_job(), platform)


def test_a_job_needs_an_address_of_a_service_account() -> None:
    with pytest.raises(ConfigError, match="trainer is not the address of one of Google Cloud"):
        put_into_job(golden_job(), PlatformConfig(service_account="trainer"))


def test_where_nothing_is_said_nothing_is_changed() -> None:
    workflow, job = golden_workflow(), golden_job()
    put_into_workflow(workflow, PlatformConfig(image="example.org/other:1"))
    put_into_job(job, PlatformConfig(image="example.org/other:1"))
    assert (workflow, job) == (golden_workflow(), golden_job())


# --- `hub-tfx compile` ----------------------------------------------------------------------------

CONFIG = f"""\
pipeline: embed
data_root: gs://bucket/corpus
pipeline_root: gs://bucket/artifacts
module: https://modules.example.org/acme/text/1
embed: {{keep: [id]}}
platform:
  image: {IMAGE}
  service_account: embedder@project.iam.gserviceaccount.com
  env: {{MODE: slow}}
  defaults: {{cpu: 2, memory: 8Gi, retries: 1}}
  steps:
    EmbeddingGenerator: {{gpu: 1, gpu_type: nvidia-l4, retries: 3, retry_delay: 5m}}
    ModuleResolver: {{env: {{MODE: fast}}}}
"""


@pytest.fixture
def compile_embed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Compiles the config with more options: gives exit code, error and file."""
    monkeypatch.chdir(tmp_path)
    Path("embed.yaml").write_text(CONFIG)

    def run(*options: str) -> tuple[int, str, Path]:
        given = ["embed", "--config", "embed.yaml", "--target", "vertex", *options]
        code = run_command(compile_, given, "hub-tfx compile")
        return code, capsys.readouterr().err, Path("embed.json")

    return run


def test_a_file_with_a_platform_compiles_to_the_golden_job(
    compile_embed: Any, update_golden: bool
) -> None:
    code, err, output = compile_embed()
    assert (code, err) == (0, "")
    job = without_versions(json.loads(output.read_text()))
    check_pipeline_job(job)
    text = json.dumps(job, indent=2, sort_keys=True) + "\n"
    assert_golden(text, "platform_pipeline.json", update_golden)


def test_an_image_that_an_option_names_is_that_of_the_steps(compile_embed: Any) -> None:
    own = "platform.steps.ModuleResolver.image=example.org/own:1"
    code, _, output = compile_embed("--image", "example.org/mine:2", "--set", own)
    assert code == 0
    images = {step: c["image"] for step, c in executors(json.loads(output.read_text())).items()}
    assert images.pop("ModuleResolver") == "example.org/own:1"
    assert {*images.values()} == {"example.org/mine:2"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (
            ["--set", "platform.image=null"],
            "the container image of the steps is missing: give --image, or image under platform",
        ),
        (["--image", "My Image"], "'My Image' is not the name of a container image"),
        (
            ["--set", "platform.steps.EmbeddingsGenerator.cpu=1"],
            "'EmbeddingsGenerator' is not a step of this pipeline; its steps are ImportExampleGen, "
            "ModuleResolver, EmbeddingGenerator; nearest: EmbeddingGenerator",
        ),
        (["--set", "platform.defaults.timeout=1h"], "has timeout, which Vertex AI Pipelines"),
        (["--", "--runner=DataflowRunner"], "a Dataflow job needs more of them: add --project="),
    ],
)
def test_what_cannot_be_compiled_is_told_and_nothing_written(
    compile_embed: Any, options: list[str], complaint: str
) -> None:
    code, err, output = compile_embed(*options)
    assert (code, err.count("\n")) == (2, 1)
    assert complaint in err
    assert not output.exists()


def test_workers_of_dataflow_run_in_the_image_of_the_steps(compile_embed: Any) -> None:
    code, err, output = compile_embed("--", *DATAFLOW)
    said = f"hub-tfx: Dataflow's workers run in {IMAGE}, as the steps do; --sdk_container_image nam"
    assert (code, err.startswith(said)) == (0, True)
    for container in executors(json.loads(output.read_text())).values():
        assert f"--sdk_container_image={IMAGE}" in container["args"]


# --- Beam steps on Dataflow -----------------------------------------------------------------------

DATAFLOW = ["--runner=DataflowRunner", "--project=acme", "--region=europe-west4"]
DATAFLOW += ["--temp_location=gs://bucket/temp"]


def embedding(*options: str, **platform: Any) -> EmbedPipelineConfig:
    return EmbedPipelineConfig(
        pipeline_root="gs://bucket/artifacts",
        data_root="gs://bucket/corpus",
        module="https://modules.example.org/acme/text/1",
        beam_pipeline_args=options,
        platform=PlatformConfig(image=IMAGE, **platform),
    )


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--runner=PrismRunner"],
        [*DATAFLOW, "--sdk_container_image=example.org/workers:1"],
        [*DATAFLOW, "--extra_package=hub_tfx.whl"],
        [*DATAFLOW, "--setup_file=setup.py"],
    ],
)
def test_workers_that_have_hub_tfx_already_are_left_alone(options: list[str]) -> None:
    config = embedding(*options)
    assert with_workers(config) == (config, ())


@pytest.mark.parametrize(
    ("left_out", "more", "complaint"),
    [
        ("--project", [], r"a Dataflow job needs more of them: add --project=PROJECT\Z"),
        ("--region", [], r"add --region=REGION\Z"),
        ("--temp_location", [], r"add --temp_location=gs://BUCKET/temp\Z"),
        ("--temp", ["--temp_location=temp"], "--temp_location temp is not in a bucket: write gs:/"),
        ("--no", ["--staging_location=/tmp"], "--staging_location /tmp is not in a bucket"),
    ],
)
def test_what_a_job_of_dataflow_needs_is_asked_for(
    left_out: str, more: list[str], complaint: str
) -> None:
    options = [option for option in DATAFLOW if not option.startswith(left_out)]
    with pytest.raises(ConfigError, match=f"Beam options: .*{complaint}"):
        with_workers(embedding(*options, *more))


def test_where_steps_have_several_images_that_of_the_workers_is_asked_for() -> None:
    steps = {"ModuleResolver": StepPlatform(image="example.org/other:1")}
    with pytest.raises(
        ConfigError, match="ModuleResolver has an image of its own, so say in which"
    ):
        with_workers(embedding(*DATAFLOW, steps=steps))
    same = embedding(*DATAFLOW, steps={"ModuleResolver": StepPlatform(image=IMAGE)})
    assert f"--sdk_container_image={IMAGE}" in with_workers(same)[0].beam_pipeline_args
