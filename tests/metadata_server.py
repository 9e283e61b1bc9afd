"""ML Metadata's gRPC service, of which the wheel has only the client, over its SQLite store."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store
from ml_metadata.proto import metadata_store_pb2 as mlmd

_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class _Service(grpc.GenericRpcHandler):
    def __init__(self, store: Any):
        self._store = store

    def service(self, call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = getattr(metadata_store, call_details.method.rpartition("/")[2])
        return grpc.unary_unary_rpc_method_handler(self._answering(method))

    def _answering(self, method: Callable[..., Any]) -> Callable[[bytes, Any], bytes]:
        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            response, message, code = method(self._store, request)
            if code:
                context.abort(_STATUS[code], message.decode())
            return bytes(response)

        return answer


@contextmanager
def metadata_server(sqlite: Path) -> Iterator[int]:
    """Serves a SQLite file of ML Metadata on a port of localhost, one call at a time."""
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(sqlite)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    options = mlmd.MigrationOptions()
    store = metadata_store.CreateMetadataStore(
        config.SerializeToString(), options.SerializeToString()
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([_Service(store)])
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
