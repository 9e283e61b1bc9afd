"""SavedModel -> the same function with its lookup tables made from constants. Runs TensorFlow.

TensorFlow Lite fills a table from constants; one that is filled from an asset file converts, too,
and then fails at the first call ("hashtable need to be initialized before using").
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from hub_tfx.errors import VariantError
from hub_tfx.module.proto import read_graphs
from hub_tfx.repository.variants.export_serving import SIGNATURE, TAG

_TABLE, _FIND = "HashTableV2", "LookupTableFindV2"
_CHANGING = re.compile(r"(Anonymous)?Mutable(Dense)?HashTable")
_WORDS = 20

Table = tuple[Any, Any]
"""Keys and values, arrays of one dimension, sorted by key."""


@dataclass(frozen=True)
class _Frozen:
    """A signature as a graph in which weights are constants.

    Attributes:
      graph: GraphDef.
      inputs: key -> name of the tensor.
      outputs: key -> name of the tensor.
      specs: key of an input -> its TensorSpec.
      tables: name of the tensor that is a table's handle -> what the table holds.
    """

    graph: Any
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    specs: Mapping[str, Any]
    tables: Mapping[str, Table]


def has_tables(serving: Path) -> bool:
    """Whether the graph of a SavedModel has a lookup table.

    Raises:
      VariantError: what it holds may change, and would be lost without a word.
    """
    ops = {node.op for graph in read_graphs(serving) for node in _nodes(graph)}
    if changing := sorted(op for op in ops if _CHANGING.match(op)):
        raise VariantError(f"a lookup table that calls may change ({changing[0]}) is not kept")
    return _TABLE in ops


def with_constant_tables(serving: Path, directory: Path) -> list[str]:
    """Writes ``serving_default`` again, its tables made from constants.

    Args:
      serving: a SavedModel as ``export_serving`` writes it.
      directory: the new SavedModel.

    Returns:
      Some words that the tables know; none where their keys are not strings.
    """
    has_objects = any(graph.object_graph_def.nodes for graph in read_graphs(serving))
    frozen = (_frozen_objects if has_objects else _frozen_session)(serving)
    model = _Rebuilt(frozen)
    tf.saved_model.save(model, os.fspath(directory), signatures={SIGNATURE: model.signature})
    return list(_words(frozen.tables))


class _Rebuilt(tf.Module):  # type: ignore[misc]
    def __init__(self, frozen: _Frozen):
        super().__init__()
        self.tables = [_static_table(*table) for table in frozen.tables.values()]
        outputs = list(frozen.outputs.values())

        @tf.function(input_signature=[dict(frozen.specs)])  # type: ignore[misc]
        def signature(inputs: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            handles = [graph.capture(table.resource_handle) for table in self.tables]
            fed = {frozen.inputs[key]: tensor for key, tensor in inputs.items()}
            fed |= zip(frozen.tables, handles, strict=True)
            tensors = tf.graph_util.import_graph_def(frozen.graph, fed, outputs, name="")
            return dict(zip(frozen.outputs, tensors, strict=True))

        self.signature = signature


class _Constants(tf.lookup.KeyValueTensorInitializer):  # type: ignore[misc]
    """Fills a table that is named after its content: TensorFlow would make a name up, another one
    each time, which stays in what is converted."""

    def __init__(self, keys: Any, values: Any):
        super().__init__(tf.constant(keys), tf.constant(values))
        content = repr([keys.tolist(), values.tolist()]).encode()
        self._name_of_table = f"table_{hashlib.sha256(content).hexdigest()}"

    @property
    def _shared_name(self) -> str:
        return self._name_of_table


def _static_table(keys: Any, values: Any) -> Any:
    filled = _Constants(keys, values)
    # Each look-up in the graph brings its own default.
    return tf.lookup.StaticHashTable(filled, tf.zeros([], filled.value_dtype))


def _frozen_objects(serving: Path) -> _Frozen:
    """Of a TF2 SavedModel, whose function is given the handles of its tables."""
    loaded = tf.saved_model.load(os.fspath(serving), tags=[TAG])
    function = loaded.signatures[SIGNATURE]
    frozen = convert_variables_to_constants_v2(function)
    graph = frozen.graph.as_graph_def()
    types = _table_types(graph)
    specs = function.structured_input_signature[1]
    keys, captured = sorted(specs), frozen.inputs[len(specs) :]
    weights = [variable.handle for variable in function.graph.variables]
    handles = [
        outside
        for outside, _ in function.graph.captures
        if outside.dtype == tf.resource and not any(outside is weight for weight in weights)
    ]
    pairs = zip(captured, handles, strict=True)
    return _Frozen(
        graph,
        {key: tensor.name for key, tensor in zip(keys, frozen.inputs, strict=False)},
        {
            k: t.name
            for k, t in zip(sorted(function.structured_outputs), frozen.outputs, strict=True)
        },
        specs,
        {tensor.name: _exported(handle, types.get(tensor.op.name)) for tensor, handle in pairs},
    )


def _table_types(graph: Any) -> dict[str, tuple[Any, Any]]:
    """Name of a captured handle -> dtypes of the keys and values of its table.

    TensorFlow ends the process when a table is asked for other types than its own.
    """
    nodes = {node.name: node for node in graph.node}
    types = {}
    for node in graph.node:
        if node.op != _FIND:
            continue
        source = nodes[node.input[0].partition(":")[0]]
        while source.op == "Identity":
            source = nodes[source.input[0].partition(":")[0]]
        types[source.name] = node.attr["Tin"].type, node.attr["Tout"].type
    return types


def _exported(handle: Any, types: tuple[Any, Any] | None) -> Table:
    if types is None:
        raise VariantError(
            "a lookup table inside a loop or a branch, or another resource that is not a weight, "
            "cannot be made a constant"
        )
    keys, values = tf.raw_ops.LookupTableExportV2(
        table_handle=handle, Tkeys=types[0], Tvalues=types[1]
    )
    return _sorted(keys.numpy(), values.numpy())


def _frozen_session(serving: Path) -> _Frozen:
    """Of a TF1 graph, which makes its tables itself."""
    tf1 = tf.compat.v1
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        loaded = tf1.saved_model.load(session, [TAG], os.fspath(serving))
        signature = loaded.signature_def[SIGNATURE]
        outputs = {key: info.name for key, info in signature.outputs.items()}
        nodes = [name.partition(":")[0] for name in outputs.values()]
        tables = [op for op in graph.get_operations() if op.type == _TABLE]
        return _Frozen(
            tf1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), nodes),
            {key: info.name for key, info in signature.inputs.items()},
            outputs,
            {
                key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.as_dtype(info.dtype), key)
                for key, info in signature.inputs.items()
            },
            {op.outputs[0].name: _sorted(*session.run(_export_of(op))) for op in tables},
        )


def _export_of(table: Any) -> Any:
    return tf.raw_ops.LookupTableExportV2(
        table_handle=table.outputs[0],
        Tkeys=table.get_attr("key_dtype"),
        Tvalues=table.get_attr("value_dtype"),
    )


def _sorted(keys: Any, values: Any) -> Table:
    order = np.argsort(keys)  # A table gives them in another order each time.
    return keys[order], values[order]


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _words(tables: Mapping[str, Table]) -> Iterator[str]:
    for keys, _ in tables.values():
        if keys.dtype == object:
            for key in keys[:: max(1, len(keys) // _WORDS)][:_WORDS]:
                yield key.decode("utf-8", "ignore")
