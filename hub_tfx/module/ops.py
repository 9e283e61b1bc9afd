"""Which ops a module may have: allowed_ops.txt, read. No TensorFlow."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("allowed_ops.txt")
_RULES = 1  # Goes up when safety.py or flow.py finds more in the same graph than before.
_NAMESPACE = ">*"


@dataclass(frozen=True)
class Group:
    """Ops that are treated alike, and why.

    Attributes:
      kind: ``allow``, ``saver``, ``file``, ``attribute``, ``refuse`` or ``package``.
      title: what they are, in a word or two.
      reason: why they are treated so.
      package: the package of Python that has them; empty for TensorFlow itself.
    """

    kind: str
    title: str
    reason: str
    package: str = ""


@dataclass(frozen=True)
class OpList:
    """What is known of ops.

    Attributes:
      groups: op -> its group.
      namespaces: ``Prefix>`` -> group of all ops whose names begin with it.
      version: changes with the list, and with the rules that use it.
    """

    groups: Mapping[str, Group]
    namespaces: Mapping[str, Group]
    version: str

    def find(self, op: str) -> Group | None:
        """The group of an op; None for one that nobody has looked at."""
        found = self.groups.get(op)
        if found is None and ">" in op:
            found = self.namespaces.get(op.partition(">")[0] + ">")
        return found


@cache
def op_list() -> OpList:
    """The list that hub_tfx comes with."""
    text = _FILE.read_text(encoding="utf-8")
    digest = hashlib.sha256(f"{_RULES}\n{text}".encode()).hexdigest()
    groups: dict[str, Group] = {}
    namespaces: dict[str, Group] = {}
    group = None
    for line in text.splitlines():
        if line.startswith("["):
            group = _heading(line)
        elif group is not None and not line.startswith("#"):
            for op in line.split():
                known = namespaces if op.endswith(_NAMESPACE) else groups
                name = op.removesuffix("*") if op.endswith(_NAMESPACE) else op
                if name in known:
                    raise ValueError(f"{_FILE.name}: {op} stands there twice")
                known[name] = group
    return OpList(groups, namespaces, digest[:16])


def _heading(line: str) -> Group:
    kind, _, rest = line[1:].partition("] ")
    title, _, reason = rest.partition(": ")
    kind, _, package = kind.partition(" ")
    return Group(kind, title, reason, package)


def _is_local_descriptor(value: Any) -> bool:
    return value.s in (b"", b"local://") or value.s.startswith(b"bytes://")


def _is_shown(value: Any) -> bool:
    return value.s in (b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)")


def _is_plain(value: Any) -> bool:
    return value.type not in (_RESOURCE, _VARIANT)


def _is_empty(value: Any) -> bool:
    return not value.s


_RESOURCE, _VARIANT = 20, 21  # Of tensorflow.DataType.
# Op -> an attribute that may do harm, and which of its values do none.
_ATTRIBUTES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "PrintV2": ("output_stream", _is_shown),
    "FixedUnigramCandidateSampler": ("vocab_file", _is_empty),
    "DecodeProtoV2": ("descriptor_source", _is_local_descriptor),
    "EncodeProto": ("descriptor_source", _is_local_descriptor),
    "ParseTensor": ("out_type", _is_plain),
}
_MODEL_FILE = "model_file"  # Of the ops of tf_sentencepiece, which have the model itself as well.


def harmful_attribute(node: Any) -> tuple[str, str] | None:
    """The attribute of a node that may do harm, and its value; None where none does."""
    named = _ATTRIBUTES.get(node.op)
    if named is None:
        if not node.op.startswith("Sentencepiece"):
            return None
        named = _MODEL_FILE, _is_empty
    name, is_harmless = named
    if name not in node.attr or is_harmless(node.attr[name]):
        return None  # The default of none of them does harm.
    return name, " ".join(str(node.attr[name]).split())
