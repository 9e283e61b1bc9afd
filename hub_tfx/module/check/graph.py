"""What a stored graph (MetaGraphDef) says beyond its signatures. Reads only; no TensorFlow."""

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import Message

from hub_tfx.module.flow import Flow
from hub_tfx.module.safety import asset_files

_FUSED_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
_MOMENTS = "/moments/"
_MAX_SCOPES = 32  # Names of layers have fewer; all ends of a longer name would take long.
# Ops that read a file when they run -> which of their inputs is its name.
_READERS = {
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "ReadFile": 0,
    "TextLineDataset": 0,
}


def collection(graph: Any, name: str) -> list[Any]:
    """The entries of a graph collection, of whatever kind; empty where there is none."""
    if name not in graph.collection_def:
        return []
    entries = graph.collection_def[name]
    kind = entries.WhichOneof("kind")
    return [] if kind is None else list(getattr(entries, kind).value)


def has_weights(graph: Any) -> bool:
    """Whether there is a variable that may be trained."""
    saved = (node.variable for node in graph.object_graph_def.nodes if node.HasField("variable"))
    return bool(collection(graph, "trainable_variables")) or any(v.trainable for v in saved)


def attributes(graph: Any) -> frozenset[str]:
    """Names of the attributes that were saved with a SavedModel's object."""
    nodes = graph.object_graph_def.nodes
    return frozenset(child.local_name for child in nodes[0].children) if nodes else frozenset()


def trained_batch_norms(graph: Any) -> list[str]:
    """Names of the batch normalizations that normalize by the batch itself, as in training.

    The fused op says so. The others are known by a layer that has both a moving mean and ops that
    take moments, as Keras and tf.layers name them.
    """
    nodes = list(_reachable(graph))
    fused = [
        node.name
        for node in nodes
        # An attribute that is not there has its default, and that is True.
        if node.op in _FUSED_BATCH_NORMS
        and ("is_training" not in node.attr or node.attr["is_training"].b)
    ]
    layers = [
        node.name.rpartition("/")[0]
        for node in nodes
        if node.op in _VARIABLES and node.name.rpartition("/")[2] == "moving_mean"
    ]
    before = {place for node in nodes for place in _before_moments(f"/{node.name}")}
    return fused + [layer for layer in layers if f"/{layer}".rstrip("/") in before]


def _before_moments(name: str) -> Iterator[str]:
    """What may stand before ``/moments/`` in a name, from some part of it on; also nothing."""
    if _MOMENTS not in name:
        return
    yield ""
    for before in (name.partition(_MOMENTS)[0], name.rpartition(_MOMENTS)[0]):
        parts = before.rsplit("/", _MAX_SCOPES)
        yield from ("/" + "/".join(parts[-count:]) for count in range(1, len(parts)))


def asset_names(graph: Any) -> list[str]:
    """Names of the files that the graph takes from the module's ``assets`` directory."""
    return [asset.filename for asset in asset_files(graph)]


def literal_files(graph: Any) -> list[str]:
    """Names of files that ops read by a constant that is no asset: they stay where they were."""
    given = {asset.tensor_info.name.partition(":")[0] for asset in asset_files(graph)}
    flow = Flow(graph)
    found = set(_constants_read(flow, "", graph.graph_def.node, given))
    for name, function in flow.library.items():
        found.update(_constants_read(flow, name, function.node_def, ()))
    return sorted(found)


def _constants_read(
    flow: Flow, function: str, nodes: Iterable[Any], assets: Iterable[str]
) -> Iterator[str]:
    for node in nodes:
        position = _READERS.get(node.op)
        if position is not None and position < len(node.input):
            source = flow.source(function, node.input[position])
            if isinstance(source, Message) and source.name not in assets:
                for value in source.attr["value"].tensor.string_val:
                    yield value.decode("utf-8", "replace")


def _reachable(graph: Any) -> Iterator[Any]:
    """The graph's nodes and those of the functions it calls: a library may hold others."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    seen: set[str] = set()
    waiting = [graph.graph_def.node]
    while waiting:
        for node in waiting.pop():
            yield node
            for name in _called(node):
                if name in library and name not in seen:
                    seen.add(name)
                    waiting.append(library[name].node_def)


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        for function in value.list.func:
            yield function.name
