"""Where the steps of a compiled pipeline are told that ML Metadata is."""

import pytest
from google.protobuf import json_format

from hub_tfx.errors import UsageError
from hub_tfx.lineage.connection import Connection
from hub_tfx_kubeflow.metadata import metadata_config, of_cluster


def test_a_file_of_this_machine_is_not_that_of_a_cluster() -> None:
    assert of_cluster(Connection.sqlite("run/metadata.sqlite")) is None
    assert of_cluster(None) is None


@pytest.mark.parametrize(
    ("metadata", "config"),
    [
        (
            "grpc://metadata.example.org:8080",
            {
                "grpc_config": {
                    "grpc_service_host": {"value": "metadata.example.org"},
                    "grpc_service_port": {"value": "8080"},
                }
            },
        ),
        (
            "mysql://tfx@db.example.org/runs?password_env=DB_PASSWORD",
            {
                "mysql_db_service_host": {"value": "db.example.org"},
                "mysql_db_service_port": {"value": "3306"},
                "mysql_db_name": {"value": "runs"},
                "mysql_db_user": {"value": "tfx"},
                "mysql_db_password": {"environment_variable": "DB_PASSWORD"},
            },
        ),
        (
            "mysql://tfx@db.example.org:3307/runs",
            {
                "mysql_db_service_host": {"value": "db.example.org"},
                "mysql_db_service_port": {"value": "3307"},
                "mysql_db_name": {"value": "runs"},
                "mysql_db_user": {"value": "tfx"},
                "mysql_db_password": {"value": ""},
            },
        ),
    ],
)
def test_a_server_is_told_in_the_words_of_tfx(metadata: str, config: dict[str, object]) -> None:
    connection = of_cluster(Connection.parse(metadata))
    told = metadata_config(connection)
    assert json_format.MessageToDict(told, preserving_proto_field_name=True) == config


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("postgresql://tfx@db.example.org/runs", "by gRPC or in MySQL, not in PostgreSQL"),
        ("mysql://tfx@/runs?socket=/run/s", "containers reach no socket of a server"),
    ],
)
def test_what_the_containers_of_tfx_cannot_open_is_refused(metadata: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refused:
        of_cluster(Connection.parse(metadata))
    assert "or leave metadata out for the cluster's own" in str(refused.value)
