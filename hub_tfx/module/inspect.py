"""Reads a module's signatures from saved_model.pb. Runs nothing, imports no TensorFlow."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hub_tfx._files import read_regular
from hub_tfx.errors import NotAModuleError
from hub_tfx.module.files import TF1_HUB_MARKER
from hub_tfx.module.functions import (
    CompositeInput,
    call_trace,
    composite_inputs,
    functions_of,
    tensor_info,
)
from hub_tfx.module.proto import damage_reported, message_classes, read_graphs
from hub_tfx.module.spec import CALL, GraphVariant, ModuleFormat, ModuleSpec, SignatureSpec

_TF1_HUB_FORMAT_3 = b"\x08\x03"  # ModuleDef{format: FORMAT_V3}, the only format there is.
_INIT_OP = "__saved_model_init_op"
_ATTACHMENTS = "hub_module_attachments"


def inspect(path: str | os.PathLike[str]) -> ModuleSpec:
    """The spec of the module in a directory.

    Raises:
      NotAModuleError: the directory holds no SavedModel, or one that cannot be read.
    """
    path = Path(path)
    with damage_reported(path):
        return spec_of(path, read_graphs(path))


def spec_of(path: Path, stored: Iterable[Any]) -> ModuleSpec:
    """The same, of MetaGraphDefs that are taken as they come; damage is not reported as such."""
    module_format = _format(path)
    graphs = sorted(stored, key=_inference_first)
    variants = [_variant(graph, is_only=len(graphs) == 1) for graph in graphs]
    image_size = _image_size(graphs[0]) if graphs else None
    if not variants:
        raise NotAModuleError(f"{path}: its SavedModel holds no graph")
    if not any(variant.signatures for variant in variants):
        raise NotAModuleError(f"{path}: its SavedModel can be neither called nor fed: no signature")
    return ModuleSpec(module_format, tuple(variants), image_size)


def call_arguments(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arguments of a SavedModel's ``__call__`` for inference, by name; see functions.Trace.

    Raises:
      NotAModuleError: the module has no callable object.
    """
    with damage_reported(Path(path)):
        for graph in read_graphs(Path(path)):
            if trace := call_trace(graph):
                return trace.arguments
    raise NotAModuleError(f"{path}: the module has no callable object")


def signature_parts(
    path: str | os.PathLike[str], signature: str, tags: Iterable[str]
) -> dict[str, CompositeInput]:
    """The inputs of a signature that are fed in parts; see functions.composite_inputs."""
    wanted = tuple(sorted(tags))
    with damage_reported(Path(path)):
        graphs = [graph for graph in read_graphs(Path(path)) if _tags(graph) == wanted]
        if not graphs:
            return {}
        return composite_inputs(graphs[0], functions_of(graphs[0]), signature)


def meta_graphs(path: str | os.PathLike[str]) -> tuple[Any, ...]:
    """The MetaGraphDefs of a module, as they are stored.

    Raises:
      NotAModuleError: there is no saved_model.pb, or one that cannot be read.
    """
    with damage_reported(Path(path)):
        return tuple(read_graphs(Path(path)))


def _format(path: Path) -> ModuleFormat:
    if not path.is_dir():
        raise NotAModuleError(f"{path} is not a directory")
    marker = path / TF1_HUB_MARKER
    if not marker.exists():
        return "saved_model"
    if not marker.is_file() or read_regular(marker) != _TF1_HUB_FORMAT_3:
        raise NotAModuleError(f"{marker} asks for a module format that TF Hub 0.15 does not know")
    return "tf1_hub"


def _image_size(graph: Any) -> tuple[int, int] | None:
    """What hub.attach_image_module_info has put into a TF1 module."""
    if _ATTACHMENTS not in graph.collection_def:
        return None
    messages = message_classes()
    for serialized in graph.collection_def[_ATTACHMENTS].bytes_list.value:
        attached: Any = messages["ModuleAttachment"].FromString(serialized)
        if attached.key == "image_module_info":
            info: Any = messages["ImageModuleInfo"].FromString(attached.value)
            size = info.default_image_size
            if size.height > 0 and size.width > 0:
                return size.height, size.width
    return None


def _inference_first(graph: Any) -> tuple[bool, bool, bool, tuple[str, ...]]:
    """Orders graphs: that of the TF1 hub format without tags, that which is to serve, others, and
    at last those for training."""
    tags = _tags(graph)
    return tags not in ((), ("serve",)), "train" in tags, "serve" not in tags, tags


def _tags(graph: Any) -> tuple[str, ...]:
    return tuple(sorted(graph.meta_info_def.tags))


def _variant(graph: Any, *, is_only: bool) -> GraphVariant:
    library = functions_of(graph)
    signatures = {
        name: _signature(graph, library, name, signature)
        for name, signature in graph.signature_def.items()
        if name != _INIT_OP
    }
    # TensorFlow loads the objects of a SavedModel with one graph only.
    if is_only and (trace := call_trace(graph)):
        signatures[CALL] = trace.signature
    return GraphVariant(_tags(graph), dict(sorted(signatures.items())))


def _signature(graph: Any, library: Mapping[str, Any], name: str, signature: Any) -> SignatureSpec:
    inputs = {key: tensor_info(info) for key, info in _sorted(signature.inputs)}
    for key, composite in composite_inputs(graph, library, name).items():
        for part in composite.parts:
            del inputs[part]
        inputs[key] = composite.info
    outputs = {key: tensor_info(info) for key, info in _sorted(signature.outputs)}
    return SignatureSpec(dict(sorted(inputs.items())), outputs)


def _sorted(infos: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((key, infos[key]) for key in sorted(infos))
