"""Reads a module's signatures from saved_model.pb. Runs nothing, imports no TensorFlow.

The messages come from TensorBoard's copy of TensorFlow's protos; those that are not among them are
described here.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError, Message

from hub_tfx.errors import NotAModuleError
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT, TF1_HUB_MARKER
from hub_tfx.module.spec import (
    CALL,
    GraphVariant,
    ModuleFormat,
    ModuleSpec,
    SignatureSpec,
    TensorInfo,
    TensorKind,
    map_arguments,
    name_outputs,
)

_TF1_HUB_FORMAT_3 = b"\x08\x03"  # ModuleDef{format: FORMAT_V3}, the only format there is.
_INIT_OP = "__saved_model_init_op"
_ATTACHMENTS = "hub_module_attachments"
# tensorflow/core/protobuf/saved_model.proto; tensorflow_hub/module_attachment.proto and
# image_module_info.proto. Imported from where they are, they would import TensorFlow.
_MESSAGES = """
  name: "hub_tfx/module.proto" package: "hub_tfx" syntax: "proto3"
  message_type { name: "SavedModel"
    field { name: "saved_model_schema_version" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
    field { name: "meta_graphs" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
            type_name: ".tensorboard.MetaGraphDef" }
  }
  message_type { name: "ModuleAttachment"
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
  }
  message_type { name: "ImageSize"
    field { name: "height" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
    field { name: "width" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
  }
  message_type { name: "ImageModuleInfo"
    field { name: "default_image_size" number: 1 type: TYPE_MESSAGE label: LABEL_OPTIONAL
            type_name: ".hub_tfx.ImageSize" }
  }
"""


def inspect(path: str | os.PathLike[str]) -> ModuleSpec:
    """The spec of the module in a directory.

    Raises:
      NotAModuleError: the directory holds no SavedModel, or one that cannot be read.
    """
    path = Path(path)
    module_format = _format(path)
    with damage_reported(path):
        graphs = sorted(_meta_graphs(path), key=_inference_first)
        variants = [_variant(graph) for graph in graphs]
        image_size = _image_size(graphs[0]) if graphs else None
    if not variants:
        raise NotAModuleError(f"{path}: its SavedModel holds no graph")
    if not any(variant.signatures for variant in variants):
        raise NotAModuleError(f"{path}: its SavedModel can be neither called nor fed: no signature")
    return ModuleSpec(module_format, tuple(variants), image_size)


def call_arguments(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of a SavedModel's ``__call__`` for inference, by name.

    Each is a nest of dicts and lists with TensorInfo leaves for tensors, and the constant itself
    (``training=False``) for anything else.

    Raises:
      NotAModuleError: the module has no callable object.
    """
    with damage_reported(Path(path)):
        for graph in _meta_graphs(Path(path)):
            if function := _call_function(graph):
                return function[0]
    raise NotAModuleError(f"{path}: the module has no callable object")


def meta_graphs(path: str | os.PathLike[str]) -> tuple[Any, ...]:
    """The MetaGraphDefs of a module, as they are stored.

    Raises:
      NotAModuleError: there is no saved_model.pb, or one that cannot be read.
    """
    with damage_reported(Path(path)):
        return tuple(_meta_graphs(Path(path)))


def call_traces(graph: Any) -> list[dict[str, Any]] | None:
    """The arguments of each trace of ``__call__``, as in ``call_arguments``; None without one.

    Raises:
      LookupError, TypeError, ValueError: the graph is damaged.
    """
    traces = _call_traces(graph)
    return None if traces is None else [arguments for arguments, _ in traces]


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Messages that parse may still point at nodes, names and types that are not there."""
    try:
        yield
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        DecodeError,
    ) as error:
        what = f"{type(error).__name__}: {error}"
        raise NotAModuleError(f"{path}: its saved_model.pb is damaged ({what})") from error
    except OSError as error:
        raise NotAModuleError(f"{path}: its files cannot be read: {error.strerror}") from error


def _format(path: Path) -> ModuleFormat:
    if not path.is_dir():
        raise NotAModuleError(f"{path} is not a directory")
    marker = path / TF1_HUB_MARKER
    if not marker.exists():
        return "saved_model"
    if not marker.is_file() or marker.read_bytes() != _TF1_HUB_FORMAT_3:
        raise NotAModuleError(f"{marker} asks for a module format that TF Hub 0.15 does not know")
    return "tf1_hub"


def _meta_graphs(path: Path) -> Iterator[Any]:
    saved_model: Any = saved_model_class()()
    binary, text = path / SAVED_MODEL, path / SAVED_MODEL_TEXT
    try:
        if binary.exists():
            saved_model.ParseFromString(binary.read_bytes())
        elif text.exists():
            text_format.Parse(text.read_bytes(), saved_model)
        else:
            raise NotAModuleError(f"{path} is not a module: it holds no {SAVED_MODEL}")
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise NotAModuleError(f"{path}: its saved_model.pb is damaged ({error})") from error
    yield from saved_model.meta_graphs


def saved_model_class() -> type[Message]:
    """The message of a saved_model.pb."""
    return _message_classes()["SavedModel"]


@cache
def _message_classes() -> dict[str, type[Message]]:
    from tensorboard.compat.proto import meta_graph_pb2

    file = text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto())
    file.dependency.append(meta_graph_pb2.DESCRIPTOR.name)
    pool = descriptor_pool.Default()
    pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    found = pool.FindFileByName(file.name).message_types_by_name
    return {name: factory.GetPrototype(descriptor) for name, descriptor in found.items()}


def _image_size(graph: Any) -> tuple[int, int] | None:
    """What hub.attach_image_module_info has put into a TF1 module."""
    if _ATTACHMENTS not in graph.collection_def:
        return None
    messages = _message_classes()
    for serialized in graph.collection_def[_ATTACHMENTS].bytes_list.value:
        attached: Any = messages["ModuleAttachment"].FromString(serialized)
        if attached.key == "image_module_info":
            info: Any = messages["ImageModuleInfo"].FromString(attached.value)
            size = info.default_image_size
            if size.height > 0 and size.width > 0:
                return size.height, size.width
    return None


def _inference_first(graph: Any) -> tuple[bool, tuple[str, ...]]:
    tags = _tags(graph)
    return tags not in ((), ("serve",)), tags


def _tags(graph: Any) -> tuple[str, ...]:
    return tuple(sorted(graph.meta_info_def.tags))


def _variant(graph: Any) -> GraphVariant:
    signatures = {
        name: SignatureSpec(_tensor_infos(signature.inputs), _tensor_infos(signature.outputs))
        for name, signature in graph.signature_def.items()
        if name != _INIT_OP
    }
    if function := _call_function(graph):
        arguments, result = function
        signatures[CALL] = SignatureSpec(_call_inputs(arguments), _call_outputs(result))
    return GraphVariant(_tags(graph), dict(sorted(signatures.items())))


def _tensor_infos(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {key: _tensor_info(infos[key]) for key in sorted(infos)}


def _tensor_info(info: Any) -> TensorInfo:
    match info.WhichOneof("encoding"):
        case "coo_sparse":
            return _info(info.dtype, info.tensor_shape, "sparse")
        case "composite_tensor":
            composite = _structure(_value_of_type_spec(info.composite_tensor.type_spec))
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


# --- The callable object of a reusable SavedModel -----------------------------------------------


def _call_function(graph: Any) -> tuple[dict[str, Any], Any] | None:
    """Arguments and result of ``__call__`` as it was traced for inference, if there is one."""
    traces = _call_traces(graph) or []
    for_inference = [t for t in traces if t[0].get("training") is not True]
    return next(iter(for_inference or traces), None)


def _call_traces(graph: Any) -> list[tuple[dict[str, Any], Any]] | None:
    """Arguments and result of ``__call__``, trace by trace."""
    objects = graph.object_graph_def
    if not objects.nodes:
        return None
    children = {child.local_name: child.node_id for child in objects.nodes[0].children}
    if CALL not in children:
        return None
    saved = objects.nodes[children[CALL]].function
    argument_names = _argument_names(saved.function_spec)
    traces = []
    for name in saved.concrete_functions:
        trace = objects.concrete_functions[name]
        positional, keywords = _structure(trace.canonicalized_input_signature)
        arguments = dict(zip(argument_names, positional, strict=False)) | keywords
        traces.append((arguments, _structure(trace.output_signature)))
    return traces


def _argument_names(function_spec: Any) -> list[str]:
    names = list(_structure(function_spec.fullargspec)["args"])
    return names[1:] if function_spec.is_method else names


def _call_inputs(arguments: Mapping[str, Any]) -> dict[str, TensorInfo]:
    inputs: dict[str, TensorInfo] = {}

    def collect(key: str, leaf: Any) -> None:
        if isinstance(leaf, TensorInfo):
            inputs[key] = leaf

    map_arguments(arguments, collect)
    return inputs


def _call_outputs(result: Any) -> dict[str, TensorInfo]:
    return {k: leaf for k, leaf in name_outputs(result).items() if isinstance(leaf, TensorInfo)}


def _value_of_type_spec(type_spec: Any) -> Any:
    from tensorboard.compat.proto import struct_pb2

    return struct_pb2.StructuredValue(type_spec_value=type_spec)


def _structure(value: Any) -> Any:
    """A StructuredValue (tensorflow/core/protobuf/struct.proto) as Python, TensorInfo for specs."""
    match kind := value.WhichOneof("kind"):
        case "tensor_spec_value" | "bounded_tensor_spec_value":
            spec = getattr(value, kind)
            return _info(spec.dtype, spec.shape)
        case "type_spec_value":
            return _composite(value.type_spec_value)
        case "list_value":
            return [_structure(item) for item in value.list_value.values]
        case "tuple_value":
            return tuple(_structure(item) for item in value.tuple_value.values)
        case "dict_value":
            return {key: _structure(item) for key, item in sorted(value.dict_value.fields.items())}
        case "named_tuple_value":
            return {pair.key: _structure(pair.value) for pair in value.named_tuple_value.values}
        case "none_value" | None:
            return None
        case "tensor_shape_value" | "tensor_dtype_value":
            return value
        case _:
            return getattr(value, kind)


def _composite(type_spec: Any) -> TensorInfo | None:
    """Sparse and ragged tensors; None for composites that no signature of a module uses."""
    kind = {"SparseTensorSpec": "sparse", "RaggedTensorSpec": "ragged"}.get(
        type_spec.type_spec_class_name
    )
    if kind is None:
        return None
    state = type_spec.type_state
    fields = getattr(state, state.WhichOneof("kind")).values
    info = _info(fields[1].tensor_dtype_value, fields[0].tensor_shape_value, kind)  # type: ignore[arg-type]
    if kind == "sparse":
        return info
    row_splits = _dtype_name(fields[3].tensor_dtype_value)
    return replace(info, ragged_rank=fields[2].int64_value, row_splits=row_splits)
