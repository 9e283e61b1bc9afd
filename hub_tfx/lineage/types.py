"""Registers the types of a pipeline once, however many processes begin at the same time."""

import random
import time
from collections.abc import Iterable
from typing import TypeAlias

from ml_metadata.errors import AlreadyExistsError
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

MetadataType: TypeAlias = mlmd.ArtifactType | mlmd.ExecutionType | mlmd.ContextType
_CLAIM_TYPE = "mlmd.Process"
"""A type that every ML Metadata has, and whose names are unique."""
_PATIENCE_S = 20.0


def register_types(store: MetadataStore, types: Iterable[MetadataType]) -> None:
    """Registers types that are missing.

    In PostgreSQL two processes that register one type at the same moment make two of it, of which
    readers see one: artifacts of the other are lost to them. In MySQL they block each other, and
    try again seconds later. So each type is claimed before, by an execution whose name only one
    process can take.
    """
    known = _known(store)
    for wanted in types:
        if _key(wanted) not in known:
            known.add(_key(wanted))
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
    while _key(wanted) not in _known(store) and time.monotonic() < end:
        time.sleep(random.uniform(0.02, 0.2))


def _known(store: MetadataStore) -> set[tuple[str, str]]:
    kinds = (store.get_artifact_types, store.get_execution_types, store.get_context_types)
    return {_key(found) for get_types in kinds for found in get_types()}


def _key(kind: MetadataType) -> tuple[str, str]:
    return type(kind).__name__, kind.name


def _put(store: MetadataStore, wanted: MetadataType) -> None:
    put = {
        mlmd.ArtifactType: store.put_artifact_type,
        mlmd.ExecutionType: store.put_execution_type,
        mlmd.ContextType: store.put_context_type,
    }
    put[type(wanted)](wanted, can_add_fields=True, can_omit_fields=True)
