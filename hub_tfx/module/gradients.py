"""Gradients of its own that a module was saved without. Reads only; no TensorFlow."""

import os
from collections.abc import Iterator
from typing import Any

from hub_tfx.module.inspect import meta_graphs

_GRADIENT = "_gradient_op_type"
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")  # TensorFlow makes their gradients again.


def unsaved_gradients(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Names under which a module's operations seek gradients that are not in the module.

    They are those of tf.custom_gradient (``CustomGradient-42``), where it was saved without
    ``experimental_custom_gradients``, and of gradient_override_map, which no module holds. They
    only matter to who trains through these operations.

    Raises:
      NotAModuleError: there is no saved_model.pb, or one that cannot be read.
    """
    return tuple(sorted({name for graph in meta_graphs(path) for name in _unsaved(graph)}))


def _unsaved(graph: Any) -> Iterator[str]:
    library = graph.graph_def.library
    saved = {gradient.registered_op_type for gradient in library.registered_gradients}
    bodies = [graph.graph_def.node, *(function.node_def for function in library.function)]
    for node in (node for body in bodies for node in body):
        if _GRADIENT in node.attr and node.op not in _CALLS:
            name = node.attr[_GRADIENT].s.decode("utf-8", "replace")
            if name not in saved:
                yield name
