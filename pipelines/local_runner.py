"""LocalDagRunner with ML Metadata anywhere: types once, no password in a log, errors kept."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ml_metadata
import tfx.v1 as tfx
from ml_metadata.errors import StatusError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx._text import shortened
from hub_tfx.beam.runner import raise_own_errors
from hub_tfx.errors import HubTfxError
from hub_tfx.lineage.connection import Connection
from hub_tfx.lineage.history import EXECUTION_RESULT
from hub_tfx.lineage.postgresql import PostgreSqlStore
from hub_tfx.lineage.servers import without_password
from hub_tfx.lineage.store import open_store
from hub_tfx.lineage.types import MetadataType, register_types

_LOGGER = "absl"  # That of TFX and of ML Metadata.
_PASSWORD = re.compile(r'password: "(?:[^"\\]|\\.)*"')
_CACHE = mlmd.ContextType(name="execution_cache")
_LOST = "Failed to establish connection to Metadata storage"
_MAX_ERROR_CHARS = 2000


class LocalRunner(tfx.orchestration.LocalDagRunner):  # type: ignore[misc]
    """Runs pipelines on this machine, one step after the other.

    Attributes:
      run_id: id of the run that it has begun last; "" before.
    """

    def __init__(self, connection: Connection):
        """The place of ML Metadata; it has to be that of the pipelines."""
        super().__init__()
        self._connection = connection
        self.run_id = ""

    def run_with_ir(self, pipeline: Any, run_options: Any = None) -> None:
        """Runs a pipeline.

        Raises:
          HubTfxError: a step failed with an error of ours, or ended the process; or ML Metadata
            cannot be opened.
        """
        self.run_id = pipeline.runtime_spec.pipeline_run_id.field_value.string_value
        with _passwords_hidden():
            if self._connection.backend != "sqlite":
                # The tables, and what the steps would register, before others may do the same.
                register_types(open_store(self._connection), _types_of(pipeline))
            try:
                with raise_own_errors(), self._told(), _backslashes_kept():
                    super().run_with_ir(pipeline, run_options)
            except SystemExit as error:  # Not an Exception, so TFX leaves the step RUNNING.
                raise HubTfxError(f"a step ended the process with status {error.code}") from error
            except Exception as error:
                self._keep(error)
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Says that it was ML Metadata that failed."""
        try:
            yield
        except (StatusError, RuntimeError) as error:
            if not isinstance(error, StatusError) and not str(error).startswith(_LOST):
                raise
            words = without_password(self._connection, " ".join(str(error).split()))
            raise HubTfxError(
                f"ML Metadata at {self._connection} failed during the run: {words}; run the "
                "pipeline again when it is there"
            ) from None

    def _keep(self, error: Exception) -> None:
        """Writes an error to the step that failed with it: TFX keeps none of a Python executor."""
        with suppress(HubTfxError, StatusError):  # The error itself is what has to be told.
            store = open_store(self._connection, attempts=1)
            name = "" if isinstance(error, HubTfxError) else f"{type(error).__name__}: "
            message = without_password(self._connection, f"{name}{error}")
            _keep_error(store, self.run_id, shortened(message, _MAX_ERROR_CHARS))


def _keep_error(store: MetadataStore, run_id: str, message: str) -> None:
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    executions = [] if run is None else store.get_executions_by_context(run.id)
    for execution in executions:
        is_failed = execution.last_known_state == mlmd.Execution.FAILED
        if is_failed and EXECUTION_RESULT not in execution.custom_properties:
            result = json.dumps({"resultMessage": message})  # An ExecutionResult of TFX as JSON.
            execution.custom_properties[EXECUTION_RESULT].string_value = result
            store.put_executions([execution])


def _types_of(pipeline: Any) -> Iterator[MetadataType]:
    """The types that the steps of a compiled pipeline register."""
    yield _CACHE
    for node in (node.pipeline_node for node in pipeline.nodes):
        yield node.node_info.type
        yield from (context.type for context in node.contexts.contexts)
        yield from (output.artifact_spec.type for output in node.outputs.outputs.values())
        for read in node.inputs.inputs.values():
            yield from (channel.artifact_query.type for channel in read.channels)


@contextmanager
def _backslashes_kept() -> Iterator[None]:
    """Has TFX open ML Metadata as we do: see hub_tfx.lineage.postgresql."""
    before, ml_metadata.MetadataStore = ml_metadata.MetadataStore, PostgreSqlStore
    try:
        yield
    finally:
        ml_metadata.MetadataStore = before


@contextmanager
def _passwords_hidden() -> Iterator[None]:
    """Takes passwords out of what TFX and ML Metadata log: both log how they connect."""
    logger, hiding = logging.getLogger(_LOGGER), _Hiding()
    logger.addFilter(hiding)
    try:
        yield
    finally:
        logger.removeFilter(hiding)


class _Hiding(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "password" in text:
            record.msg, record.args = _PASSWORD.sub('password: "…"', text), ()
        return True
