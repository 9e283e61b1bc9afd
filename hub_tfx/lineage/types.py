"""Registers the types of a pipeline once, however many processes begin at the same time."""

import random
import time
from collections.abc import Iterable
from typing import TypeAlias

from ml_metadata.errors import AlreadyExistsError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx.lineage.connection import Connection

MetadataType: TypeAlias = mlmd.ArtifactType | mlmd.ExecutionType | mlmd.ContextType
_CLAIM_TYPE = "mlmd.Process"
"""A type that every ML Metadata has, and whose names are unique."""
_PATIENCE_S = 20.0


def register_types(
    store: MetadataStore, connection: Connection, types: Iterable[MetadataType]
) -> None:
    """Registers types that are missing.

    In PostgreSQL two processes that register one type at the same moment make two of it, of which
    readers see one: artifacts of the other are lost to them. There each type is claimed before, by
    an execution whose name only one process can take. Other backends make one type of it.
    """
    if connection.backend != "postgresql":
        return
    known = {
        (kind, found.name)
        for kind, getter in (
            (mlmd.ArtifactType, store.get_artifact_types),
            (mlmd.ExecutionType, store.get_execution_types),
            (mlmd.ContextType, store.get_context_types),
        )
        for found in getter()
    }
    for wanted in types:
        key = (type(wanted), wanted.name)
        if key not in known:
            known.add(key)
            if not _claimed(store, wanted):
                _wait(store, wanted)
            _put(store, wanted)  # Changes nothing where it is there.


def _claimed(store: MetadataStore, wanted: MetadataType) -> bool:
    """Whether this process is the one to register a type."""
    claim = mlmd.Execution(
        type_id=store.get_execution_type(_CLAIM_TYPE).id,
        name=f"hub_tfx registers {type(wanted).__name__} {wanted.name}",
        last_known_state=mlmd.Execution.COMPLETE,
    )
    try:
        store.put_executions([claim])
    except AlreadyExistsError:
        return False
    return True


def _wait(store: MetadataStore, wanted: MetadataType) -> None:
    """Waits for the process that claimed a type, but not for one that has died since."""
    end = time.monotonic() + _PATIENCE_S
    while not _is_there(store, wanted) and time.monotonic() < end:
        time.sleep(random.uniform(0.02, 0.2))


def _is_there(store: MetadataStore, wanted: MetadataType) -> bool:
    getters = {
        mlmd.ArtifactType: store.get_artifact_types,
        mlmd.ExecutionType: store.get_execution_types,
        mlmd.ContextType: store.get_context_types,
    }
    return any(found.name == wanted.name for found in getters[type(wanted)]())


def _put(store: MetadataStore, wanted: MetadataType) -> None:
    put = {
        mlmd.ArtifactType: store.put_artifact_type,
        mlmd.ExecutionType: store.put_execution_type,
        mlmd.ContextType: store.put_context_type,
    }
    put[type(wanted)](wanted, can_add_fields=True, can_omit_fields=True)
