"""Module directory -> TensorFlow Lite model, and running that. Runs TensorFlow."""

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.lite.python import schema_py_generated as schema_fb

from hub_tfx.errors import VariantError
from hub_tfx.module.inspect import inspect
from hub_tfx.module.spec import ModuleSpec, SignatureSpec
from hub_tfx.repository.variants.constant_tables import has_tables, with_constant_tables
from hub_tfx.repository.variants.export_serving import (
    SIGNATURE,
    TAG,
    export_serving,
    load_serving,
    served_signature,
)

_MISSING = re.compile(r"(?:TF Select|Custom) ops: ([^\n]{1,300})")


@dataclass(frozen=True)
class Converted:
    """A TensorFlow Lite model.

    Attributes:
      content: bytes of the file.
      signature: the module's signature that it was made from.
      spec: what it takes and gives.
      needs_flex: whether it has ops of TensorFlow's own.
      words: some that its tables know.
    """

    content: bytes
    signature: str
    spec: SignatureSpec
    needs_flex: bool
    words: tuple[str, ...]


def convert(module: Path, signature: str | None = None, select_ops: bool = True) -> Converted:
    """Converts a signature of a module; see ``make_tflite``.

    Raises:
      VariantError: TensorFlow Lite does not have what the module needs.
      Exception: whatever TensorFlow raises where it cannot load or write a graph.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, TAG)
        source.mkdir()
        _check_dense(inspect(module), signature)
        name = export_serving(module, source, signature)
        spec = load_serving(source).signature_spec
        words: list[str] = []
        if has_tables(source):
            rebuilt = Path(folder, "constants")
            words = with_constant_tables(source, rebuilt)
            source = rebuilt
        content, needs_flex = _converted(source, select_ops)
    return Converted(content, name, spec, needs_flex, tuple(words))


def run_tflite(file: Path, spec: SignatureSpec, rows: Mapping[str, Any]) -> dict[str, Any]:
    """What TensorFlow Lite's interpreter gives for rows: output key -> array."""
    flags = {key: tf.constant(False) for key in spec.inputs.keys() - spec.fed_inputs.keys()}
    runner = tf.lite.Interpreter(model_path=os.fspath(file)).get_signature_runner(SIGNATURE)
    outputs: dict[str, Any] = runner(**{k: t.numpy() for k, t in {**rows, **flags}.items()})
    return outputs


def _check_dense(spec: ModuleSpec, signature: str | None) -> None:
    converted = spec.signature(signature or served_signature(spec))
    for key, info in {**converted.inputs, **converted.outputs}.items():
        if info.kind != "dense":
            raise VariantError(
                f"{key} is a {info.kind} tensor, which TensorFlow Lite does not have"
            )


def _converted(source: Path, select_ops: bool) -> tuple[bytes, bool]:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        os.fspath(source), signature_keys=[SIGNATURE], tags={TAG}
    )
    try:
        return converter.convert(), False
    except Exception as error:
        if not select_ops:
            allow = "TensorFlow's own may be allowed by select_ops"
            raise VariantError(f"{_reason(error)}; {allow}") from error
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS, sets.SELECT_TF_OPS]
    try:
        return _in_order(converter.convert()), True
    except Exception as error:
        raise VariantError(_reason(error)) from error


def _in_order(content: bytes) -> bytes:
    """The attributes of TensorFlow's ops in order: the converter writes them in any, so that each
    time there would be other bytes."""
    ordered = bytearray(content)
    model = schema_fb.Model.GetRootAs(content)
    graphs = (model.Subgraphs(at) for at in range(model.SubgraphsLength()))
    for op in (graph.Operators(at) for graph in graphs for at in range(graph.OperatorsLength())):
        if not op.CustomOptionsLength():
            continue
        options = flexbuffers.GetRoot(op.CustomOptionsAsNumpy().tobytes())
        if options.IsVector and len(options.AsVector) == 2:  # Name and NodeDef of a flex op.
            node = bytes(options.AsVector[1].AsStringBytes)
            sorted_node = NodeDef.FromString(node).SerializeToString(deterministic=True)
            for found in re.finditer(re.escape(node), content):
                ordered[found.start() : found.end()] = sorted_node
    return bytes(ordered)


def _reason(error: Exception) -> str:
    """What the converter says, which prints every node that it could not convert."""
    if missing := _MISSING.search(str(error)):
        return f"TensorFlow Lite has no op {missing[1].strip()}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"the converter says {lines[0] if lines else type(error).__name__}"
