"""The functions that a SavedModel was saved with: what its ``__call__`` and its signatures take and
give, in their own structure. Reads only; no TensorFlow."""

import collections
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hub_tfx.module.nests import (
    Record,
    map_arguments,
    name_outputs,
    tensors_of,
    training_constants,
)
from hub_tfx.module.spec import CALL, SignatureSpec, TensorInfo, TensorKind, is_training_flag

_SIGNATURES = "signatures"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_USER_NAME = "_user_specified_name"
_SPLITS = ("int32", "int64")


@dataclass(frozen=True)
class Trace:
    """One way in which ``__call__`` can be called.

    Attributes:
      arguments: by name, in order; ``*name`` for those that a ``*name`` collects. Each is a nest of
        dicts, lists, tuples and named tuples with a TensorInfo for a tensor, and the constant
        itself (``training=False``) for anything else.
      result: such a nest.
      function: name of the function in the graph's library.
    """

    arguments: dict[str, Any]
    result: Any
    function: str

    @property
    def signature(self) -> SignatureSpec:
        """Its tensors by the keys under which users know them."""
        inputs: dict[str, TensorInfo] = {}

        def collect(key: str, leaf: Any) -> None:
            if isinstance(leaf, Unfeedable):
                leaf = TensorInfo(leaf.type, None)
            if isinstance(leaf, TensorInfo):
                inputs[key] = leaf

        map_arguments(self.arguments, collect)
        outputs = name_outputs(self.result).items()
        return SignatureSpec(
            inputs, {k: leaf for k, leaf in outputs if isinstance(leaf, TensorInfo)}
        )


@dataclass(frozen=True)
class Unfeedable:
    """Stands in a nest for a value of a type that is made of no tensors that we know."""

    type: str


def call_trace(graph: Any) -> Trace | None:
    """The trace of ``__call__`` that is called for inference, if there is one.

    Of several that without training behaviour; then that whose constants are the function's own
    defaults; then one that takes batches of any size; then the first.
    """
    traces = list(call_traces(graph) or ())
    defaults = _defaults(_call_function(graph)) if traces else {}
    return min(traces, key=lambda trace: _distance(trace.arguments, defaults), default=None)


def call_traces(graph: Any) -> list[Trace] | None:
    """All traces of ``__call__``; None without a ``__call__``.

    Raises:
      LookupError, TypeError, ValueError: the graph is damaged.
    """
    saved = _call_function(graph)
    if saved is None:
        return None
    traces = []
    for name in dict.fromkeys(saved.concrete_functions):  # However often one stands there.
        trace = graph.object_graph_def.concrete_functions[name]
        positional, keywords = structure(trace.canonicalized_input_signature)
        arguments = _by_name(saved.function_spec, positional) | keywords
        traces.append(Trace(arguments, structure(trace.output_signature), name))
    return traces


def _call_function(graph: Any) -> Any:
    objects = graph.object_graph_def
    node = _child(objects, objects.nodes[0], CALL) if objects.nodes else None
    return None if node is None else node.function


def _child(objects: Any, node: Any, name: str) -> Any:
    for child in node.children:
        if child.local_name == name:
            return objects.nodes[child.node_id]
    return None


def _by_name(function_spec: Any, positional: Sequence[Any]) -> dict[str, Any]:
    full = structure(function_spec.fullargspec)
    names = list(full.args)[1 if function_spec.is_method else 0 :]
    named = dict(zip(names, positional, strict=False))
    if full.varargs and len(positional) > len(names):
        named[f"*{full.varargs}"] = tuple(positional[len(names) :])
    return named


def _defaults(saved: Any) -> dict[str, Any]:
    full = structure(saved.function_spec.fullargspec)
    defaults = tuple(full.defaults or ())
    names = list(full.args)[len(full.args) - len(defaults) :]
    return dict(zip(names, defaults, strict=True)) | dict(full.kwonlydefaults or {})


def _distance(arguments: dict[str, Any], defaults: Mapping[str, Any]) -> tuple[bool, int, bool]:
    flags = training_constants(arguments)
    changed = [
        name
        for name, default in defaults.items()
        if name in arguments and name not in flags and arguments[name] != default
    ]
    fed = [info for key, info in tensors_of(arguments) if not is_training_flag(key, info)]
    one_size = any(info.shape is not None and info.shape[:1] != (None,) for info in fed)
    return any(arguments[name] for name in flags), len(changed), one_size


# --- Signatures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CompositeInput:
    """A ragged or sparse tensor, which a signature of TF2 takes in parts.

    Attributes:
      info: of the whole.
      parts: keys of the signature, in the order of ``tf.nest.flatten(expand_composites=True)``.
    """

    info: TensorInfo
    parts: tuple[str, ...]


def functions_of(graph: Any) -> dict[str, Any]:
    """The functions of a graph's library by name."""
    return {function.signature.name: function for function in graph.graph_def.library.function}


def composite_inputs(
    graph: Any, library: Mapping[str, Any], signature: str
) -> dict[str, CompositeInput]:
    """The composite inputs of a signature of a TF2 SavedModel, by the key of their first part.

    ``library`` is that of the graph, by name: see ``functions_of``.

    A SignatureDef has the parts only. What they are parts of, the function knows that the signature
    was made from: by its structure where that was saved too, otherwise by the names of its
    arguments, which all parts of one tensor share.
    """
    found = _inner_call(graph, library, signature)
    if found is None:
        return {}
    keys, inner = found
    concrete = graph.object_graph_def.concrete_functions
    if inner in concrete:
        infos = [leaf for _, leaf in _leaves(concrete[inner].canonicalized_input_signature)]
        grouped = _grouped_by_structure(keys, infos)
    else:
        grouped = _grouped_by_name(keys, library, inner, _dense_infos(graph, signature))
    return {parts[0]: CompositeInput(info, parts) for info, parts in grouped if len(parts) > 1}


def _inner_call(
    graph: Any, library: Mapping[str, Any], signature: str
) -> tuple[list[str | None], str] | None:
    """The function behind a signature, and the key that feeds each of its arguments; None for what
    it captures."""
    objects = graph.object_graph_def
    group = _child(objects, objects.nodes[0], _SIGNATURES) if objects.nodes else None
    node = None if group is None else _child(objects, group, signature)
    if node is None:
        return None
    saved = node.bare_concrete_function
    wrapper = library.get(saved.concrete_function_name)
    if wrapper is None:
        return None
    names = [argument.name for argument in wrapper.signature.input_arg]
    keys = dict(zip(names, saved.argument_keywords, strict=False))
    for call in wrapper.node_def:
        inner = call.attr["f"].func.name if call.op in _CALLS else call.op
        if inner in library:
            return [keys.get(name.partition(":")[0]) for name in call.input], inner
    return None


def _leaves(signature: Any) -> list[tuple[str, TensorInfo]]:
    positional, keywords = structure(signature)
    return tensors_of({"": list(positional)} | dict(sorted(keywords.items())))


def _grouped_by_structure(
    keys: Sequence[str | None], infos: Sequence[TensorInfo]
) -> Iterator[tuple[TensorInfo, tuple[str, ...]]]:
    start = 0
    for info in infos:
        stop = start + _part_count(info)
        parts = tuple(key for key in keys[start:stop] if key is not None)
        if len(parts) == stop - start:
            yield info, parts
        start = stop


def _part_count(info: TensorInfo) -> int:
    return {"dense": 1, "sparse": 3, "ragged": 1 + info.ragged_rank}[info.kind]


def _grouped_by_name(
    keys: Sequence[str | None],
    library: Mapping[str, Any],
    name: str,
    infos: Mapping[str, TensorInfo],
) -> Iterator[tuple[TensorInfo, tuple[str, ...]]]:
    groups: dict[bytes, list[int]] = {}
    splits_of = _RowSplits(library)
    attributes = library[name].arg_attr
    for place, key in enumerate(keys):
        given = attributes[place].attr if place in attributes else {}
        if key is not None and _USER_NAME in given:
            groups.setdefault(given[_USER_NAME].s, []).append(place)
    for places in groups.values():
        parts = [keys[place] or "" for place in places]
        first, *others = (infos[key] for key in parts)
        if (sparse := _as_sparse(first, others)) is not None:
            yield sparse, tuple(parts)
            continue
        # A dict of vectors may look the same as values and the row splits of a ragged tensor.
        may_be = others and all(o.dtype in _SPLITS and len(o.shape or ()) == 1 for o in others)
        if may_be and any(splits_of.known(name, place) for place in places[1:]):
            shape = (None,) * len(others) + (first.shape or (None,))
            splits = others[0].dtype
            yield TensorInfo(first.dtype, shape, "ragged", len(others), splits), tuple(parts)


def _as_sparse(first: TensorInfo, others: Sequence[TensorInfo]) -> TensorInfo | None:
    """What ``[n, rank] int64``, ``[n]`` and ``[rank] int64`` are the parts of."""
    if len(others) != 2 or first.dtype != "int64" or len(first.shape or ()) != 2:
        return None
    values, rank = others[0], (first.shape or ())[1]
    if rank is None or len(values.shape or ()) != 1:
        return None
    is_sparse = (others[1].dtype, others[1].shape) == ("int64", (rank,))
    return TensorInfo(values.dtype, (None,) * rank, "sparse") if is_sparse else None


class _RowSplits:
    """Which arguments of functions are used as row splits are: by an op that is named after ragged
    tensors, or two slices, ``splits[1:]`` and ``splits[:-1]``. Each is looked at once."""

    def __init__(self, library: Mapping[str, Any]):
        self._library = library
        self._uses: dict[str, dict[str, list[tuple[Any, int]]]] = {}
        self._known: dict[tuple[str, int], bool] = {}

    def known(self, function: str, place: int) -> bool:
        """Whether this argument is."""
        key = function, place
        if key not in self._known:
            self._known[key] = False  # Should functions call each other in a circle.
            self._known[key] = self._look(function, place)
        return self._known[key]

    def _look(self, function: str, place: int) -> bool:
        argument = self._library[function].signature.input_arg[place].name
        slices = set()
        for node, number in self._uses_in(function).get(argument, ()):
            called = node.attr["f"].func.name if node.op in _CALLS else node.op
            if called in self._library:
                if self.known(called, number):
                    return True
            elif "ragged" in f"{node.name} {node.op}".lower():
                return True
            if node.op == "StridedSlice":
                slices.add(node.name)
        return len(slices) > 1

    def _uses_in(self, function: str) -> dict[str, list[tuple[Any, int]]]:
        """Name in a function -> the nodes that take it, each with the number of the input."""
        if function not in self._uses:
            uses: dict[str, list[tuple[Any, int]]] = {}
            for node in self._library[function].node_def:
                for number, name in enumerate(node.input):
                    uses.setdefault(name.partition(":")[0], []).append((node, number))
            self._uses[function] = uses
        return self._uses[function]


def _dense_infos(graph: Any, signature: str) -> dict[str, TensorInfo]:
    inputs = graph.signature_def[signature].inputs
    return {key: tensor_info(inputs[key]) for key in inputs}


# --- Protos --------------------------------------------------------------------------------------


def tensor_info(info: Any) -> TensorInfo:
    """A TensorInfo of a SignatureDef as ours."""
    match info.WhichOneof("encoding"):
        case "coo_sparse":
            return _info(info.dtype, info.tensor_shape, "sparse")
        case "composite_tensor":
            composite = structure(_value_of_type_spec(info.composite_tensor.type_spec))
            if isinstance(composite, TensorInfo):
                return composite
    return _info(info.dtype, info.tensor_shape)


def _info(dtype: int, shape: Any, kind: TensorKind = "dense") -> TensorInfo:
    dimensions = tuple(None if d.size < 0 else d.size for d in shape.dim)
    return TensorInfo(_dtype_name(dtype), None if shape.unknown_rank else dimensions, kind)


def _dtype_name(dtype: int) -> str:
    from tensorboard.compat.proto import types_pb2

    name = types_pb2.DataType.Name(dtype).removeprefix("DT_").lower()
    usual = {"float": "float32", "double": "float64", "half": "float16"}
    return usual.get(name, str(name))


def _value_of_type_spec(type_spec: Any) -> Any:
    from tensorboard.compat.proto import struct_pb2

    return struct_pb2.StructuredValue(type_spec_value=type_spec)


def structure(value: Any) -> Any:
    """A StructuredValue (tensorflow/core/protobuf/struct.proto) as Python, TensorInfo for specs."""
    match kind := value.WhichOneof("kind"):
        case "tensor_spec_value" | "bounded_tensor_spec_value":
            spec = getattr(value, kind)
            return _info(spec.dtype, spec.shape)
        case "type_spec_value":
            return _composite(value.type_spec_value)
        case "list_value":
            return [structure(item) for item in value.list_value.values]
        case "tuple_value":
            return tuple(structure(item) for item in value.tuple_value.values)
        case "dict_value":
            return {key: structure(item) for key, item in sorted(value.dict_value.fields.items())}
        case "named_tuple_value":
            pairs = value.named_tuple_value.values
            named = collections.namedtuple(  # type: ignore[misc]
                value.named_tuple_value.name, [pair.key for pair in pairs]
            )
            return named(*(structure(pair.value) for pair in pairs))
        case "none_value" | None:
            return None
        case "tensor_shape_value" | "tensor_dtype_value":
            return value
        case _:
            return getattr(value, kind)


def _composite(type_spec: Any) -> Any:
    """A TensorInfo, a Record, or what stands for other types."""
    name = type_spec.type_spec_class_name
    state = type_spec.type_state
    if type_spec.type_spec_class == type_spec.EXTENSION_TYPE_SPEC:
        return Record(name, dict(structure(state)))
    kinds: dict[str, TensorKind] = {"SparseTensorSpec": "sparse", "RaggedTensorSpec": "ragged"}
    if name not in kinds:
        return Unfeedable(name)
    fields = getattr(state, state.WhichOneof("kind")).values
    info = _info(fields[1].tensor_dtype_value, fields[0].tensor_shape_value, kinds[name])
    if info.kind == "sparse":
        return info
    row_splits = _dtype_name(fields[3].tensor_dtype_value)
    return replace(info, ragged_rank=fields[2].int64_value, row_splits=row_splits)
