"""`hub-tfx schedule`: files that make a pipeline run again and again; nothing is sent anywhere."""

import json
import os
from dataclasses import replace
from typing import Any

import click

from hub_tfx._quiet import quiet_libraries
from hub_tfx.cli.options import ManyValuesCommand
from hub_tfx_kubeflow.schedule.checks import check_name
from hub_tfx_kubeflow.schedule.cron import Cron
from hub_tfx_kubeflow.schedule.options import (
    check_part,
    checked,
    claims_of,
    compiled_file,
    concurrency_option,
    config_file,
    cron_option,
    give,
    machine_options,
    machine_run,
    name_option,
    namespace_option,
    output_option,
    timezone_option,
)
from hub_tfx_pipelines.config_options import set_option


@click.group(short_help="Make a pipeline run again and again.")
def schedule() -> None:
    """Make files by which Kubeflow, Vertex AI, Kubernetes, cron or systemd run a pipeline on time.

    Nothing is sent anywhere: each command prints what you then apply. Unless you say otherwise at
    most one run goes on at a time, and runs that were missed are not made up for.
    """


@schedule.command("scheduled-workflow", short_help="Kubeflow Pipelines: a manifest for kubectl.")
@compiled_file
@cron_option
@name_option("what the pipeline is called")
@namespace_option
@concurrency_option
@output_option
def scheduled_workflow(
    file: str,
    cron: Cron,
    name: str | None,
    namespace: str | None,
    max_concurrency: int,
    output: str | None,
) -> None:
    """Print a ScheduledWorkflow of Kubeflow Pipelines, for `kubectl apply`.

    FILE is a .yaml of `hub-tfx compile`. Times are those of the time zone that the controller of
    the cluster is set to, UTC if nobody has set one.

    \b
    Example:
      hub-tfx schedule scheduled-workflow retrain.yaml --cron '0 2 * * *' --namespace kubeflow \\
        --output retrain-nightly.yaml
    """
    from hub_tfx._yaml import block
    from hub_tfx_kubeflow.schedule.compiled import read_workflow
    from hub_tfx_kubeflow.schedule.kubeflow import Recurring, scheduled_workflow

    workflow = read_workflow(file)
    name = check_name(name or str(workflow.get("metadata", {}).get("generateName")).strip("-"))
    recurring = Recurring(name, cron, max_concurrency, namespace)
    give(block(scheduled_workflow(workflow, recurring)), output)


@schedule.command(short_help="Kubeflow Pipelines: a script that calls its SDK.")
@compiled_file
@cron_option
@name_option("what the pipeline is called")
@click.option(
    "--experiment",
    metavar="NAME",
    default="Default",
    show_default=True,
    help="Show the runs in this experiment of Kubeflow Pipelines.",
)
@namespace_option
@concurrency_option
@output_option
def sdk(
    file: str,
    cron: Cron,
    name: str | None,
    experiment: str,
    namespace: str | None,
    max_concurrency: int,
    output: str | None,
) -> None:
    """Print a Python script that makes a recurring run with the SDK of Kubeflow Pipelines.

    FILE is a .yaml of `hub-tfx compile`, which the script reads when it runs. It needs kfp 1.8, and
    refuses to make a second recurring run of one name. Times are those of the time zone that the
    controller of the cluster is set to, UTC if nobody has set one.

    \b
    Example:
      hub-tfx schedule sdk retrain.yaml --cron '0 2 * * *' --output recur.py
      python recur.py https://kubeflow.example.org/pipeline
    """
    from hub_tfx_kubeflow.schedule.compiled import read_workflow
    from hub_tfx_kubeflow.schedule.kubeflow import Recurring, sdk_call

    workflow = read_workflow(file)
    name = check_name(name or str(workflow.get("metadata", {}).get("generateName")).strip("-"))
    recurring = Recurring(name, cron, max_concurrency, namespace)
    give(sdk_call(os.path.abspath(file), experiment, recurring), output)


@schedule.command(short_help="Vertex AI Pipelines: the body of a request.")
@compiled_file
@cron_option
@name_option("what the pipeline is called")
@click.option(
    "--project",
    required=True,
    metavar="ID",
    callback=checked(lambda value: check_part("--project", value)),
    help="Run in this project of Google Cloud.",
)
@click.option(
    "--location",
    required=True,
    metavar="REGION",
    callback=checked(lambda value: check_part("--location", value)),
    help="Run in this region, such as europe-west4.",
)
@click.option(
    "--service-account", metavar="EMAIL", help="Run as this service account.  [the project's]"
)
@timezone_option("UTC", "UTC")
@concurrency_option
@output_option
def vertex(
    file: str,
    cron: Cron,
    name: str | None,
    project: str,
    location: str,
    service_account: str | None,
    timezone: str,
    max_concurrency: int,
    output: str | None,
) -> None:
    """Print the body of the request that makes a schedule of Vertex AI Pipelines, in JSON.

    FILE is a .json of `hub-tfx compile`. The body goes to
    https://REGION-aiplatform.googleapis.com/v1/projects/ID/locations/REGION/schedules.

    \b
    Example:
      hub-tfx schedule vertex retrain.json --cron '0 2 * * *' --project acme \\
        --location europe-west4 --output schedule.json
    """
    from hub_tfx_kubeflow.schedule.compiled import read_job
    from hub_tfx_kubeflow.schedule.vertex import VertexSchedule, vertex_schedule

    job = read_job(file)
    name = check_name(name or str(job.get("displayName")))
    made = VertexSchedule(name, cron, timezone, project, location, service_account, max_concurrency)
    give(json.dumps(vertex_schedule(job, made), indent=2, sort_keys=True) + "\n", output)


@schedule.command(cls=ManyValuesCommand, short_help="Kubernetes: a CronJob and its ConfigMap.")
@config_file
@cron_option
@name_option("hub-tfx-PIPELINE")
@click.option(
    "--image",
    metavar="IMAGE",
    help="Run in this container image, which has hub_tfx installed.  [required here, or as "
    "platform.image in CONFIG]",
)
@namespace_option
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=DIR…",
    help="Mount the PersistentVolumeClaim of this name in this folder.",
)
@timezone_option("UTC", "UTC")
@set_option("KEY.KEY=VALUE…")
@output_option
def cronjob(
    file: str,
    image: str | None,
    settings: tuple[str, ...],
    name: str | None,
    output: str | None,
    **options: Any,
) -> None:
    """Print a CronJob of Kubernetes that runs `hub-tfx run`, and the ConfigMap with its config.

    CONFIG is a config file, which names a place of ML Metadata. Paths in it are those of the
    container: buckets, servers, and folders of --claim. What its section `platform` says of all
    steps, the container gets; 2 CPUs and 8Gi of memory, if it says nothing. Kubernetes starts no
    run while one is going on, and leaves one out that is an hour late.

    \b
    Example:
      hub-tfx schedule cronjob retrain.yaml --cron '0 2 * * *' --timezone Europe/Berlin \\
        --image registry.example.org/hub-tfx:1 --claim retrain=/data --output cronjob.yaml
    """
    quiet_libraries()
    from hub_tfx._yaml import block
    from hub_tfx_kubeflow.platform import with_image
    from hub_tfx_kubeflow.schedule.cronjob import CronRun, cron_job
    from hub_tfx_kubeflow.schedule.run_file import check_in_container, read_run_file

    options["claims"] = claims_of(options["claims"])
    run = read_run_file(file, settings)
    run = replace(run, config=with_image(run.config, image))
    check_in_container(run, options["claims"])
    of = CronRun(name=check_name(name or f"hub-tfx-{run.pipeline}"), **options)
    give("---\n".join(map(block, cron_job(run, of))), output)


@schedule.command(cls=ManyValuesCommand, short_help="cron: a line of a crontab.")
@machine_options
@output_option
def crontab(file: str, settings: tuple[str, ...], output: str | None, **options: Any) -> None:
    """Print a line for `crontab -e`, by which cron runs `hub-tfx run`.

    CONFIG is a config file, which names a place of ML Metadata. Times are those of the machine. A
    run that is due while one is going on is left out; what a run prints is appended to NAME.log in
    the folder of --directory.

    \b
    Example:
      hub-tfx schedule crontab retrain.yaml --cron '0 2 * * *' --directory /srv/retrain
    """
    quiet_libraries()
    from hub_tfx_kubeflow.schedule.machine import crontab_line
    from hub_tfx_kubeflow.schedule.run_file import read_run_file

    run = read_run_file(file, settings)
    give(crontab_line(run, machine_run(run.pipeline, file, **options)), output)


@schedule.command(cls=ManyValuesCommand, short_help="systemd: a service and its timer.")
@machine_options
@click.option(
    "--user",
    metavar="NAME",
    callback=checked(lambda value: check_part("--user", value)),
    help="Run as this user.  [whose units they are, root for those of the system]",
)
@timezone_option(None, "that of the machine")
@click.option(
    "--output",
    metavar="DIR",
    help="Write NAME.service and NAME.timer into this folder, and print their paths.  [print what "
    "they hold]",
)
def systemd(
    file: str,
    settings: tuple[str, ...],
    output: str | None,
    user: str | None,
    timezone: str | None,
    **options: Any,
) -> None:
    """Print a service of systemd that runs `hub-tfx run`, and a timer that starts it.

    CONFIG is a config file, which names a place of ML Metadata. A run that is due while one is
    going on is left out; `journalctl -u NAME` shows what a run prints.

    \b
    Example:
      hub-tfx schedule systemd retrain.yaml --cron '0 2 * * *' --directory /srv/retrain \\
        --user retrain --output /etc/systemd/system
    """
    quiet_libraries()
    from hub_tfx_kubeflow.schedule.machine import systemd_units
    from hub_tfx_kubeflow.schedule.run_file import read_run_file

    run = read_run_file(file, settings)
    of = machine_run(run.pipeline, file, **options)
    units = systemd_units(run, of, timezone, user)
    if output is None:
        give("\n".join(units.values()), None)
    else:
        for unit, text in units.items():
            give(text, os.path.join(output, unit))
