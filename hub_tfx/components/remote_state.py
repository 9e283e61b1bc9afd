"""Which steps read what changes outside of their pipeline.

TFX's execution cache knows the inputs and parameters of a step, and nothing of a repository, a
state directory or a folder that files arrive in. A component class says with
``READS_REMOTE_STATE``, an attribute or a property, that its steps read such a place when they run.
Where nobody has pinned what is there beforehand, as on a cluster, the cache must not have them,
unless a driver of the component finds out what is there before the cache is asked.
"""

from collections.abc import Iterable
from typing import Any

from hub_tfx._tfx import PIPELINE_RUN_ID_PARAMETER_NAME, BaseDriver, RuntimeParameter

THIS_RUN = RuntimeParameter(PIPELINE_RUN_ID_PARAMETER_NAME, str)
"""A parameter that is another in each run on a runner with a launcher: the id of the run."""


def reads_remote_state(node: Any) -> bool:
    """Whether a node of a pipeline reads what changes outside of it."""
    return bool(getattr(node, "READS_REMOTE_STATE", False))


def readers_of_remote_state(nodes: Iterable[Any]) -> set[str]:
    """Ids of the nodes that read what changes outside of the pipeline."""
    return {node.id for node in nodes if reads_remote_state(node)}


def without_driver(nodes: Iterable[Any]) -> list[Any]:
    """The nodes that have no driver of their own: for platforms that run drivers."""
    return [node for node in nodes if node.driver_class is BaseDriver]


of_state_dir = property(lambda node: bool(node.exec_properties.get("state_dir")))
"""``READS_REMOTE_STATE`` of a component that reads a state directory, if it is given one."""


def without_run_ids(nodes: Iterable[Any]) -> None:
    """Takes THIS_RUN out of nodes that are compiled, and need other means to be run each time.

    For both versions of Kubeflow Pipelines it would be a parameter that somebody has to give.
    """
    for node in nodes:
        for name, value in list(node.exec_properties.items()):
            if value is THIS_RUN:
                node.exec_properties[name] = None
