"""A schedule of Vertex AI Pipelines: the body of ``projects.locations.schedules.create``."""

from dataclasses import dataclass
from typing import Any

from hub_tfx_kubeflow.schedule.cron import Cron


@dataclass(frozen=True)
class VertexSchedule:
    """When a compiled pipeline runs, and as whom.

    Attributes:
      name: the name that people see.
      cron: when runs start.
      timezone: the time zone in which they do.
      project, location: where they run: a project of Google Cloud, and a region.
      service_account: who the steps are; None for the default of the project.
      max_concurrency: runs that may be going on at one time.
    """

    name: str
    cron: Cron
    timezone: str
    project: str
    location: str
    service_account: str | None = None
    max_concurrency: int = 1


def vertex_schedule(job: dict[str, Any], schedule: VertexSchedule) -> dict[str, Any]:
    """The schedule that runs a compiled PipelineJob again and again.

    A run that is due while too many are going on is left out, and none is made up for.
    ``maxConcurrentRunCount`` is about starting runs; ``maxConcurrentActiveRunCount`` is what keeps
    one from beginning before the other has ended.
    """
    if schedule.service_account is not None:
        job = {**job, "serviceAccount": schedule.service_account}
    return {
        "displayName": schedule.name,
        "cron": f"TZ={schedule.timezone} {schedule.cron}",
        "maxConcurrentRunCount": str(schedule.max_concurrency),
        "maxConcurrentActiveRunCount": str(schedule.max_concurrency),
        "allowQueueing": False,
        "createPipelineJobRequest": {
            "parent": f"projects/{schedule.project}/locations/{schedule.location}",
            "pipelineJob": job,
        },
    }
