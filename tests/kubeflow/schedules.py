"""What tests of `hub-tfx schedule` share: input, options, and the command."""

import yaml
from command_lines import GOLDEN

from hub_tfx.cli.main import run_command
from hub_tfx_kubeflow.schedule_cli import schedule

NIGHTLY = ["--cron", "0 2 * * MON-FRI"]
VERTEX = [*NIGHTLY, "--project", "acme", "--location", "europe-west4"]
RETRAIN = """\
pipeline: retrain
data_root: gs://bucket/headlines
pipeline_root: /data/run
metadata: mysql://tfx@mysql.kubeflow.svc:3306/metadb?password_env=METADATA_PASSWORD
module: https://modules.example.org/acme/text/1
fine_tune: {label: topic}
gate:
  config: {label: topic}
publication:
  repository: gs://bucket/modules
  name: acme/headlines
  card: card.md
platform:
  image: registry.example.org/hub-tfx:1
  service_account: trainer
  env: {TF_NUM_INTRAOP_THREADS: 8}
  secrets: {METADATA_PASSWORD: mysql/password}
  defaults: {memory: 16Gi, gpu: 1, node_pool: gpus, timeout: 6h, tolerations: [{operator: Exists}]}
"""
IN_CLUSTER = ["--claim", "retrain=/data"]


def small_workflow():
    """The compiled embedding pipeline with one step, whose command is short."""
    workflow = yaml.safe_load((GOLDEN / "embed_pipeline.yaml").read_text())
    entry, step = workflow["spec"]["templates"][:2]
    entry["dag"]["tasks"] = [{**entry["dag"]["tasks"][0], "dependencies": []}]
    step["container"]["args"] = step["container"]["args"][:2]
    workflow["spec"]["templates"] = [entry, step]
    return workflow


def run(capsys, *arguments):
    exit_code = run_command(schedule, [*map(str, arguments)], "schedule")
    output = capsys.readouterr()
    return exit_code, output.out, output.err


def printed(capsys, *arguments):
    exit_code, out, err = run(capsys, *arguments)
    assert (exit_code, err) == (0, "")
    return out
