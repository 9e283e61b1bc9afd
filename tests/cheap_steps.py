"""Steps of a pipeline that cost nothing, for tests of what is around steps."""

import os
from typing import Any

import tfx.v1 as tfx
from databases import PASSWORD_ENV
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model

from hub_tfx.lineage.connection import Connection


@component
def Collect(examples: OutputArtifact[Examples], span: Parameter[int]) -> None:  # noqa: N802
    examples.set_int_custom_property("span", span)


@component
def Learn(  # noqa: N802
    examples: InputArtifact[Examples], model: OutputArtifact[Model], complaint: Parameter[str]
) -> None:
    if complaint == "end":
        raise SystemExit(7)
    if complaint == "$env":
        raise ValueError(os.environ[PASSWORD_ENV])
    if complaint:
        raise ValueError(complaint)
    model.set_string_custom_property("learned", examples.uri)


def cheap_pipeline(
    connection: Connection, root: str, name: str = "cheap", span: int = 1, complaint: str = ""
) -> Any:
    """Collect -> Learn, which fails with a complaint if there is one.

    `end` ends the process, and `$env` complains with the password of databases.PASSWORD_ENV.
    """
    collect = Collect(span=span)
    learn = Learn(examples=collect.outputs["examples"], complaint=complaint)
    return tfx.dsl.Pipeline(
        pipeline_name=name,
        pipeline_root=root,
        components=[collect, learn],
        enable_cache=True,
        metadata_connection_config=connection.config(),
    )
