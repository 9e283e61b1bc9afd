"""Where the steps of Kubeflow Pipelines find ML Metadata, in TFX's own terms."""

from typing import TYPE_CHECKING, Any

from hub_tfx.errors import UsageError

if TYPE_CHECKING:
    from hub_tfx.lineage.connection import Connection

_MYSQL_PORT = 3306


def of_cluster(connection: "Connection | None") -> "Connection | None":
    """The connection that the steps are given; None where they take the cluster's own.

    A SQLite file is that of runs on this machine, for which the same file of YAML may serve.

    Raises:
      UsageError: TFX's containers cannot open such a connection.
    """
    if connection is None or connection.backend == "sqlite":
        return None
    problem = None
    if connection.backend == "postgresql":
        problem = "TFX's containers reach ML Metadata by gRPC or in MySQL, not in PostgreSQL"
    elif connection.socket is not None:
        problem = "containers reach no socket of a server"
    if problem is not None:
        raise UsageError(
            f"metadata {connection}: {problem}: name mysql://USER@HOST:PORT/DATABASE or "
            "grpc://HOST:PORT, or leave metadata out for the cluster's own"
        )
    return connection


def metadata_config(connection: "Connection") -> Any:
    """The KubeflowMetadataConfig of a connection; the password is read by each step itself."""
    from tfx.orchestration.kubeflow.proto import kubeflow_pb2

    config = kubeflow_pb2.KubeflowMetadataConfig()
    if connection.backend == "grpc":
        config.grpc_config.grpc_service_host.value = connection.host
        config.grpc_config.grpc_service_port.value = str(connection.port)
        return config
    config.mysql_db_service_host.value = connection.host
    config.mysql_db_service_port.value = str(connection.port or _MYSQL_PORT)
    config.mysql_db_name.value = connection.database
    config.mysql_db_user.value = connection.user
    if connection.password_env is None:
        config.mysql_db_password.value = ""
    else:
        config.mysql_db_password.environment_variable = connection.password_env
    return config
