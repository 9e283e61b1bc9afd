"""What a stored graph (MetaGraphDef) says beyond its signatures. Reads only; no TensorFlow."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_FUSED_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_VARIABLES = ("VarHandleOp", "VariableV2", "Variable")
_ASSETS = "saved_model_assets"
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
    names = [f"/{node.name}" for node in nodes]
    moments = {layer: f"/{layer}/moments/" if layer else "/moments/" for layer in layers}
    return fused + [layer for layer in layers if any(moments[layer] in name for name in names)]


def asset_names(graph: Any) -> list[str]:
    """Names of the files that the graph takes from the module's ``assets`` directory."""
    return [asset.filename for asset in _assets(graph)]


def literal_files(graph: Any) -> list[str]:
    """Names of files that ops read by a constant that is no asset: they stay where they were."""
    given = {asset.tensor_info.name.partition(":")[0] for asset in _assets(graph)}
    found = list(_constants_read(graph.graph_def.node, given))
    for function in graph.graph_def.library.function:
        found += _constants_read(function.node_def, ())
    return sorted(set(found))


def _assets(graph: Any) -> list[Any]:
    """AssetFileDefs: a field of TF2 SavedModels, a collection in the TF1 hub format."""
    from tensorboard.compat.proto import meta_graph_pb2

    packed = [entry.value for entry in collection(graph, _ASSETS) if hasattr(entry, "type_url")]
    return [*graph.asset_file_def, *map(meta_graph_pb2.AssetFileDef.FromString, packed)]


def _constants_read(nodes: Iterable[Any], assets: Iterable[str]) -> Iterator[str]:
    by_name = {node.name: node for node in nodes}
    for node in by_name.values():
        position = _READERS.get(node.op)
        if position is not None and position < len(node.input):
            source = _constant(by_name, node.input[position])
            if source is not None and source.name not in assets:
                for value in source.attr["value"].tensor.string_val:
                    yield value.decode("utf-8", "replace")


def _constant(by_name: Mapping[str, Any], name: str) -> Any:
    """The constant behind an input, if it is one of the same graph."""
    for _ in by_name:  # No longer than that, should damage have made a circle.
        node = by_name.get(name.lstrip("^").partition(":")[0])
        if node is None or node.op == "Const":
            return node
        if node.op != "Identity":
            return None
        name = node.input[0]
    return None


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
