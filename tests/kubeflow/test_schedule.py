"""`hub-tfx schedule`: what it makes is what each engine takes, and a typo in it is not.

The kinds that run `hub-tfx run` are in test_schedule_runs.py.
"""

import copy
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from command_lines import GOLDEN, assert_golden
from containers import kfp_python
from google.protobuf import json_format
from manifests import check_pipeline_job, check_scheduled_workflow
from schedules import IN_CLUSTER, NIGHTLY, VERTEX, printed, run, small_workflow

# --- Kubeflow Pipelines ---------------------------------------------------------------------------


def test_a_scheduled_workflow_is_the_golden_one(folder, capsys, update_golden):
    arguments = ["scheduled-workflow", "small.yaml", *NIGHTLY, "--namespace", "kubeflow"]
    text = printed(capsys, *arguments)
    check_scheduled_workflow(yaml.safe_load(text))
    assert_golden(text, "schedule/scheduled_workflow.yaml", update_golden)
    assert printed(capsys, *arguments, "--output", "a/b.yaml") == "a/b.yaml\n"
    assert Path("a/b.yaml").read_text() == text


def test_a_scheduled_workflow_runs_the_compiled_pipeline(capsys):
    file = GOLDEN / "embed_pipeline.yaml"
    arguments = ["--cron", "*/30 * * * *", "--name", "often", "--max-concurrency", "3"]
    made = yaml.safe_load(printed(capsys, "scheduled-workflow", file, *arguments))
    check_scheduled_workflow(made)
    assert made["metadata"] == {"name": "often"}
    assert made["spec"]["maxConcurrency"] == 3
    assert made["spec"]["noCatchup"] is True
    assert made["spec"]["trigger"]["cronSchedule"] == {"cron": "0 0,30 * * * *"}
    ours, compiled = made["spec"]["workflow"]["spec"], yaml.safe_load(file.read_text())["spec"]
    assert made["spec"]["workflow"]["parameters"] == ours["arguments"]["parameters"]
    for template in ours["templates"]:  # What the API server of Kubeflow Pipelines would add.
        annotations = template["metadata"].pop("annotations")
        assert annotations == {"sidecar.istio.io/inject": "false"}
        if not template["metadata"]:
            del template["metadata"]
        for artifact in template.get("outputs", {}).get("artifacts", ()):
            assert artifact.pop("optional") is True
    assert ours == compiled


@pytest.mark.parametrize(
    ("old", "new"),
    [("noCatchup", "noCatchUp"), ("cronSchedule", "cron"), ("0 0 2", "0 2"), ("image:", "imag:")],
)
def test_a_typo_in_a_scheduled_workflow_is_found(folder, capsys, old, new):
    text = printed(capsys, "scheduled-workflow", "small.yaml", *NIGHTLY)
    assert text.count(old) == 1
    with pytest.raises(AssertionError):
        check_scheduled_workflow(yaml.safe_load(text.replace(old, new)))


class KubeflowPipelines(BaseHTTPRequestHandler):
    """As much of its API as a recurring run needs; the server has lists of what it was sent."""

    def do_GET(self):
        path = self.path.partition("?")[0].rpartition("/")[2]
        if path == "healthz":
            return self.answer({"multi_user": False})
        return self.answer({path: self.server.sent[path]})

    def do_POST(self):
        kind = self.path.partition("?")[0].rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.sent[kind].append({**body, "id": f"{kind}-{len(self.server.sent[kind])}"})
        self.answer(self.server.sent[kind][-1])

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def kubeflow_pipelines():
    server = ThreadingHTTPServer(("localhost", 0), KubeflowPipelines)
    server.sent = {"experiments": [], "jobs": []}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


RUN_SCRIPTS = """
import runpy, sys
for script in sys.argv[2:]:
    sys.argv = [script, sys.argv[1]] + sys.argv[2:]
    try:
        runpy.run_path(script)
    except (SystemExit, TypeError) as error:
        print(error)
"""


def test_the_call_of_the_sdk_is_the_golden_one(folder, capsys, update_golden):
    arguments = ["sdk", "small.yaml", *NIGHTLY, "--experiment", "it's", "--name", "nightly"]
    text = printed(capsys, *arguments)
    assert_golden(
        text.replace(str(folder), "/FOLDER"), "schedule/recurring_run.py.txt", update_golden
    )
    compile(text, "recurring_run.py", "exec")


def test_the_sdk_makes_one_recurring_run_and_finds_a_typo(folder, capsys, kubeflow_pipelines):
    arguments = ["sdk", "small.yaml", *NIGHTLY, "--experiment", "it's", "--name", "nightly"]
    printed(capsys, *arguments, "--output", "recur.py")
    text = Path("recur.py").read_text()
    Path("typo.py").write_text(
        text.replace("no_catchup", "no_catch_up").replace("'nightly'", "'a'")
    )
    url = f"http://localhost:{kubeflow_pipelines.server_port}"
    command = [kfp_python(), "-W", "ignore", "-c", RUN_SCRIPTS, url]
    command += ["recur.py", "recur.py", "typo.py"]
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    made, again, typo = done.stdout.splitlines()
    assert (made, again) == (
        "jobs-0",
        "nightly is there already, as jobs-0: delete it, or give another name",
    )
    assert "unexpected keyword argument 'no_catch_up'" in typo
    [experiment], [job] = kubeflow_pipelines.sent.values()
    assert experiment["name"] == "it's"
    assert (job["name"], job["enabled"], job["no_catchup"]) == ("nightly", True, True)
    assert job["max_concurrency"] in (1, "1")
    assert job["trigger"] == {"cron_schedule": {"cron": "0 0 2 * * 1-5"}}
    assert json.loads(job["pipeline_spec"]["workflow_manifest"]) == small_workflow()


# --- Vertex AI Pipelines --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vertex_proto():
    from google.cloud.aiplatform_v1.types import Schedule

    return Schedule.pb(Schedule())


def test_a_vertex_schedule_is_the_golden_one(folder, capsys, update_golden):
    text = printed(capsys, "vertex", "small.json", *VERTEX, "--timezone", "Europe/Berlin")
    assert_golden(text, "schedule/vertex.json", update_golden)


def test_a_vertex_schedule_is_one_to_its_protos(capsys, vertex_proto):
    file = GOLDEN / "embed_pipeline.json"
    arguments = [*VERTEX, "--service-account", "a@acme.iam.gserviceaccount.com"]
    body = json.loads(printed(capsys, "vertex", file, *arguments))
    made = json_format.ParseDict(body, type(vertex_proto)())
    assert made.cron == "TZ=UTC 0 2 * * 1-5"
    assert (made.max_concurrent_run_count, made.max_concurrent_active_run_count) == (1, 1)
    request = made.create_pipeline_job_request
    assert request.parent == "projects/acme/locations/europe-west4"
    assert request.pipeline_job.service_account == "a@acme.iam.gserviceaccount.com"
    job = body["createPipelineJobRequest"]["pipelineJob"]
    del job["serviceAccount"]
    assert job == json.loads(file.read_text())
    check_pipeline_job(job)
    for path in ("maxConcurrentRunCounts", "createPipelineJobRequest.pipelineJob.serviceAcount"):
        typo = copy.deepcopy(body)
        *above, last = path.split(".")
        node = typo
        for name in above:
            node = node[name]
        node[last] = "1"
        with pytest.raises(json_format.ParseError, match=f'no field named "{last}"'):
            json_format.ParseDict(typo, type(vertex_proto)())


# --- What all refuse ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["vertex", "small.json", *VERTEX, "--cron", "0 2 * *"], "'0 2 * *' is not a time: give"),
        (["vertex", "small.json", *VERTEX, "--timezone", "CEST"], "'CEST' is not a time zone"),
        (
            ["vertex", "small.json", *VERTEX, "--project", "a/b"],
            "--project takes a name, not 'a/b'",
        ),
        (["vertex", "small.json", *VERTEX, "--name", "No"], "'No' is not a name for a schedule"),
        (["vertex", "small.json", *VERTEX, "--max-concurrency", "0"], "0 is not in the range 1<=x"),
        (["crontab", "retrain.yaml", *NIGHTLY, "--timezone", "UTC"], "No such option"),
        (["crontab", "retrain.yaml", *NIGHTLY, "--directory", "a"], "takes an absolute path"),
        (
            ["crontab", "retrain.yaml", *NIGHTLY, "--directory", "/a\nb"],
            "crontabs and units do not",
        ),
        (["systemd", "retrain.yaml", *NIGHTLY, "--directory", "/a\\"], "crontabs and units do not"),
        (["systemd", "retrain.yaml", *NIGHTLY, "--user", "a b"], "--user takes a name, not 'a b'"),
        (["cronjob", "retrain.yaml", *NIGHTLY, "--image", "a b"], "'a b' is not the name of"),
        (["cronjob", "retrain.yaml", *NIGHTLY, *IN_CLUSTER, "--claim", "a=b"], "an absolute path"),
        (["cronjob", "retrain.yaml", *NIGHTLY, *IN_CLUSTER, "--claim", "a=/b/"], "absolute folder"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(folder, capsys, arguments, complaint):
    code, out, err = run(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


@pytest.mark.parametrize(
    ("kind", "content", "complaint"),
    [
        (["scheduled-workflow"], "kind: Pod", "is not a Workflow of Argo, from `hub-tfx compile"),
        (["scheduled-workflow"], "a: [", "file:1: it is not YAML"),
        (["scheduled-workflow"], "a: &a [*a]", "anchors and aliases are not taken"),
        (["scheduled-workflow"], "\0", "it holds the character"),
        (["scheduled-workflow"], "[]", "it is not a list of keys and values"),
        (["sdk"], '{"pipelineSpec": {}}', "is not a Workflow of Argo"),
        (
            ["sdk"],
            "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {}}",
            "it has no spec.templates",
        ),
        (["vertex", *VERTEX[2:]], "kind: Workflow", "is not JSON"),
        (["vertex", *VERTEX[2:]], "[" * 100_000, "is not JSON"),
        (["vertex", *VERTEX[2:]], "[]", "it has no pipelineSpec.root"),
        (["vertex", *VERTEX[2:]], '{"pipelineSpec": {"root": {"a": 1}}}', "no runtimeConfig"),
        (["crontab"], "pipeline: embd", "file:1: pipeline: takes embed"),
    ],
)
def test_a_file_that_is_something_else_is_named(folder, capsys, kind, content, complaint):
    Path("file").write_text(content)
    code, out, err = run(capsys, kind[0], "file", *NIGHTLY, *kind[1:])
    assert code in (1, 2)
    assert (out, err.count("\n")) == ("", 1)
    assert complaint in err
    assert "unexpected" not in err


@pytest.mark.parametrize("kind", [["sdk"], ["vertex", *VERTEX[2:]], ["systemd"]])
def test_a_file_that_is_missing_or_may_have_no_end_is_named(folder, capsys, kind):
    os.mkfifo("pipe")
    for file in ("missing", "pipe", "."):
        code, _, err = run(capsys, kind[0], file, *NIGHTLY, *kind[1:])
        assert code in (1, 2)
        assert f"{file}: cannot be read" in err or f"{file} cannot be read" in err


def test_where_nothing_can_be_written_the_error_names_the_file(folder, capsys):
    code, out, err = run(capsys, "sdk", "small.yaml", *NIGHTLY, "--output", "small.yaml/x.py")
    assert (code, out) == (1, "")
    assert "small.yaml/x.py cannot be written" in err
