"""Reads what `hub-tfx compile` has written, as far as a schedule takes it over."""

import json
from typing import Any

from hub_tfx._files import open_regular, why
from hub_tfx._text import printable, quoted
from hub_tfx._yaml import YamlError, decode, plain, read_mapping
from hub_tfx.errors import InputError

_MAX_BYTES = 16 << 20
_MAX_WORKFLOW_BYTES = 1 << 20
"""Its store takes 1.5 MiB, of which the status of the running Workflow needs some."""
_ARGO = "argoproj.io/v1alpha1"


def read_workflow(file: str) -> dict[str, Any]:
    """The Workflow of Argo in a .yaml file.

    Raises:
      InputError: the file cannot be read, or does not hold one.
    """
    source = _read(file, f"`hub-tfx compile … --output {file}` makes it")
    try:
        text = decode(source, _MAX_WORKFLOW_BYTES, "a Workflow that Kubernetes can keep")
        workflow = plain(read_mapping(text, like="kind: Workflow", may_have_start=True))
    except YamlError as error:
        raise InputError(f"{file}:{error.line}: {error}") from None
    made_by = "a Workflow of Argo, from `hub-tfx compile --target kfp`"
    if (workflow.get("apiVersion"), workflow.get("kind")) != (_ARGO, "Workflow"):
        raise InputError(f"{file} is not {made_by}: its kind is {quoted(workflow.get('kind'))}")
    _check(file, workflow, ("spec", "templates"), made_by)
    return dict(workflow)


def read_job(file: str) -> dict[str, Any]:
    """The PipelineJob of Vertex AI Pipelines in a .json file.

    Raises:
      InputError: the file cannot be read, or does not hold one.
    """
    text = _read(file, f"`hub-tfx compile … --output {file}` makes it")
    try:
        job = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    made_by = "a PipelineJob of Vertex AI, from `hub-tfx compile --target vertex`"
    _check(file, job, ("pipelineSpec", "root"), made_by)
    _check(file, job, ("runtimeConfig", "gcsOutputDirectory"), made_by)
    return dict(job)


def _read(file: str, advice: str) -> bytes:
    try:
        with open_regular(file) as opened:
            text = opened.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL byte.
        reason = why(error) if isinstance(error, OSError) else str(error)
        raise InputError(f"{printable(file)} cannot be read: {reason}; {advice}") from error
    if len(text) > _MAX_BYTES:
        raise InputError(f"{file} has more than {_MAX_BYTES >> 20} MiB: name a compiled pipeline")
    return text


def _check(file: str, document: Any, path: tuple[str, ...], what: str) -> None:
    """Raises InputError where a document has nothing at a path."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    if not document:
        raise InputError(f"{file} is not {what}: it has no {'.'.join(path)}")
