"""May a module be loaded? A look at every op of its graphs, before anything of it runs.

    verdict = judge("modules/flowers/1")
    verdict.ok, [(f.rule, f.op, f.node, f.function, f.graph, f.why) for f in verdict.findings]

Every node of every MetaGraph and of every function is looked at, whether something calls it or not,
in saved_model.pb and in saved_model.pbtxt: its op must be on the list of allowed_ops.txt. This
lowers a risk. It is not a sandbox: what is allowed may still be wrong, slow, or meet a bug of
TensorFlow. No TensorFlow is imported here, and nothing is run.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError

from hub_tfx._files import open_regular
from hub_tfx._text import printable, shortened
from hub_tfx.module.files import SAVED_MODEL, SAVED_MODEL_TEXT
from hub_tfx.module.flow import CALLS, Flow, Found
from hub_tfx.module.ops import Group, OpList, harmful_attribute, op_list
from hub_tfx.module.proto import damage_reported, read_saved_model

_CHUNKED = "saved_model.cpb"
_KERAS = "keras_metadata.pb"
_LAMBDA = b'"class_name": "Lambda"'
_ASSETS = "saved_model_assets"
_MAX_FINDINGS = 200
_MAX_NAME_CHARS = 200
_MAX_READ_BYTES = 64 << 20
_CONFIGS = ("config_proto", "config")
_VARIANTS = ("", "tensorflow::TensorList")


@dataclass(frozen=True)
class Finding:
    """One thing for which a module is not to be loaded.

    Attributes:
      rule: ``op`` (refused, or on no list), ``package`` (an op of a known package), ``saver`` (a
        checkpoint is read or written elsewhere than by the SaverDef), ``file`` (a file that is not
        an asset is read), ``attribute`` (one that names a file, say), ``asset`` (it lies outside of
        assets/), ``function``, ``constant``, ``config`` or ``unread``.
      op: name of the op; empty where it is about none.
      node: name of the node, or of the asset.
      function: the function that it is in; empty for the graph itself.
      graph: tags of the MetaGraph, and the file where it is not the usual one.
      why: what is wrong, in words.
      package: the package of Python that has the op; empty for TensorFlow itself.
      count: how often it was found; the places are those of the first.
    """

    rule: str
    op: str
    node: str
    function: str
    graph: str
    why: str
    package: str = ""
    count: int = 1

    def __str__(self) -> str:
        what = f"op {self.op}" if self.op else self.rule
        node = f" in node {self.node!r}" if self.node else ""
        function = f" of function {self.function!r}" if self.function else ""
        times = f" ({self.count:,} times)" if self.count > 1 else ""
        return f"{what}{node}{function}, graph {self.graph}{times}: {self.why}"


@dataclass(frozen=True)
class Verdict:
    """What was found in a module. ``Verdict.from_dict(v.to_dict()) == v``.

    Attributes:
      findings: the reasons not to load it; none where it is in order.
      notes: what a reader may want to know, and is no reason.
      graphs, functions, nodes: how many were looked at.
      version: of the list and the rules by which it was judged.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    graphs: int = 0
    functions: int = 0
    nodes: int = 0
    version: str = ""

    @property
    def ok(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Verdict":
        given = {name: value for name, value in document.items() if name != "ok"}
        findings = tuple(Finding(**finding) for finding in given.pop("findings"))
        return cls(findings=findings, notes=tuple(given.pop("notes")), **given)

    def __str__(self) -> str:
        looked = f"{self.nodes:,} nodes of {self.graphs:,} graphs and {self.functions:,} functions"
        if self.ok:
            return f"nothing to refuse in {looked}"
        return f"{len(self.findings):,} findings in {looked}"


def judge(path: str | os.PathLike[str]) -> Verdict:
    """Looks at the module in a directory. Takes time and memory in proportion to its graphs.

    Raises:
      NotAModuleError: the directory holds no SavedModel, or one that cannot be read.
    """
    path = Path(path)
    with damage_reported(path):
        return judge_graphs(path, read_saved_model(path).meta_graphs)


def judge_graphs(path: Path, graphs: Iterable[Any]) -> Verdict:
    """The same, of graphs that are read already.

    Args:
      path: the module's directory.
      graphs: MetaGraphDefs of the file that TensorFlow reads; those of the other one are read here.
    """
    found = _Findings()
    _judge_all(graphs, "", found)
    if (path / SAVED_MODEL).exists() and (path / SAVED_MODEL_TEXT).exists():
        text = read_saved_model(path, SAVED_MODEL_TEXT)
        _judge_all(text.meta_graphs, f" of {SAVED_MODEL_TEXT}", found)
    if os.path.lexists(path / _CHUNKED):
        found.add("unread", Found("", "", "", _CHUNKED_WHY), "")
    return Verdict(
        found.all(),
        tuple(_notes(path)),
        found.graphs,
        found.functions,
        found.nodes,
        op_list().version,
    )


_CHUNKED_WHY = (
    f"{_CHUNKED} is there, which other versions of TensorFlow load and nothing here reads"
)


def _judge_all(graphs: Iterable[Any], where: str, found: "_Findings") -> None:
    for graph in graphs:
        tags = ", ".join(sorted(graph.meta_info_def.tags))
        _Judge(graph, shortened(f"{{{tags}}}{where}", _MAX_NAME_CHARS), found).run()


@dataclass
class _Findings:
    """Findings by what they are about, so that their number does not grow with the graph's."""

    graphs: int = 0
    functions: int = 0
    nodes: int = 0
    first: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    counts: dict[tuple[str, ...], int] = field(default_factory=dict)
    left_out: int = 0

    def add(self, rule: str, found: Found, graph: str, package: str = "") -> None:
        key = (rule, found.op, package) if found.op else (rule, found.node, found.function)
        if key in self.counts:
            self.counts[key] += 1
        elif len(self.counts) >= _MAX_FINDINGS:
            self.left_out += 1
        else:
            names = (printable(shortened(name, _MAX_NAME_CHARS)) for name in found)
            op, node, function, why = names
            self.counts[key] = 1
            self.first[key] = Finding(rule, op, node, function, graph, why, package)

    def all(self) -> tuple[Finding, ...]:
        findings = [
            Finding(**{**asdict(finding), "count": self.counts[key]})
            for key, finding in self.first.items()
        ]
        if self.left_out:
            why = f"{self.left_out:,} more findings than the {_MAX_FINDINGS} that are told"
            findings.append(Finding("unread", "", "", "", "", why))
        return tuple(findings)


class _Judge:
    """Looks at one MetaGraph."""

    def __init__(self, graph: Any, label: str, found: _Findings):
        self._graph = graph
        self._label = label
        self._found = found
        self._list: OpList = op_list()
        self._groups: dict[str, Group | None] = {}
        self._safe_configs: set[bytes] = {b""}
        self._flow = Flow(graph, frozenset(self._assets()))

    def run(self) -> None:
        library = self._graph.graph_def.library
        self._found.graphs += 1
        self._found.functions += len(library.function)
        self._body("", self._graph.graph_def.node)
        names: set[str] = set()
        for function in library.function:
            name = function.signature.name
            if name in names or self._group(name) is not None:
                self._add("function", Found("", "", name, "its name is that of another, or an op"))
            names.add(name)
            self._attributes(name, function, function.attr)
            for argument in function.arg_attr.values():
                self._attributes(name, function, argument.attr)
            self._body(name, function.node_def)
        for gradient in (*library.gradient, *library.registered_gradients):
            self._called(gradient.gradient_func, "", None, "")
        for found in self._flow.misplaced_files():
            self._add("file", found)
        for found in self._flow.misplaced_savers():
            self._add("saver", found)

    def _add(self, rule: str, found: Found, package: str = "") -> None:
        self._found.add(rule, found, self._label, package)

    def _group(self, op: str) -> Group | None:
        if op not in self._groups:
            self._groups[op] = self._list.find(op)
        return self._groups[op]

    def _body(self, function: str, nodes: Any) -> None:
        self._found.nodes += len(nodes)
        for node in nodes:
            self._op(function, node)
            if node.attr:
                self._attributes(function, node, node.attr)

    def _op(self, function: str, node: Any) -> None:
        op = node.op
        group = self._group(op)
        match None if group is None else group.kind:
            case "allow":
                pass
            case None if op in self._flow.library:
                self._flow.calls[op].append((function, node, True))
            case "saver":
                self._flow.savers.append((function, node))
            case "file":
                self._flow.files.append((function, node))
            case "attribute":
                pass
            case _:
                self._refuse(op, node.name, function, group)
        if group is not None and (named := harmful_attribute(node)) is not None:
            why = f"its attribute {named[0]} may not be {shortened(named[1])}"
            self._add("attribute", Found(op, node.name, function, why))

    def _refuse(self, op: str, node: str, function: str, group: Group | None) -> None:
        if group is None:
            why = "it is on no list of allowed ops"
            self._add("op", Found(op, node, function, why))
        elif group.kind == "package":
            why = f"it belongs to the package {group.package}"
            self._add("package", Found(op, node, function, why), group.package)
        else:
            self._add("op", Found(op, node, function, f"{group.title}: {group.reason}"))

    def _attributes(self, function: str, node: Any, attributes: Any) -> None:
        """Looks at what attributes hold: functions, tensors, and configs of a session."""
        waiting = list(attributes.items())
        while waiting:
            name, value = waiting.pop()
            match value.WhichOneof("value"):
                case "func":
                    self._called(value.func.name, function, node, name)
                    waiting += value.func.attr.items()
                case "list":
                    for called in value.list.func:
                        self._called(called.name, function, node, name)
                        waiting += called.attr.items()
                    for tensor in value.list.tensor:
                        self._tensor(function, node, tensor)
                case "tensor":
                    self._tensor(function, node, value.tensor)
                case "s" if name in _CONFIGS:
                    self._config(function, node, value.s)

    def _called(self, called: str, function: str, node: Any, attribute: str) -> None:
        if called in self._flow.library:
            if node is not None and hasattr(node, "op"):
                is_direct = node.op in CALLS and attribute == "f"
                self._flow.calls[called].append((function, node, is_direct))
            return
        group = self._group(called) if called else None
        if not called or (group is not None and group.kind == "allow"):
            return
        if group is not None:
            self._refuse(called, getattr(node, "name", ""), function, group)
            return
        why = f"it calls the function {shortened(repr(called))}, which is not there"
        self._add("function", Found("", getattr(node, "name", called), function, why))

    def _tensor(self, function: str, node: Any, tensor: Any) -> None:
        kinds = [variant.type_name for variant in tensor.variant_val]
        if tensor.resource_handle_val or any(kind not in _VARIANTS for kind in kinds):
            why = "a constant stands for a resource or an object of the process"
            self._add("constant", Found("", getattr(node, "name", ""), function, why))

    def _config(self, function: str, node: Any, serialized: bytes) -> None:
        if serialized in self._safe_configs:
            return
        from tensorboard.compat.proto import config_pb2

        config: Any = config_pb2.ConfigProto()
        try:
            config.ParseFromString(serialized)
        except DecodeError:
            return  # Of an op whose attribute has the same name, and is something else.
        if config.cluster_def.job or config.graph_options.rewrite_options.custom_optimizers:
            why = "its config names other machines or optimizers"
            self._add("config", Found("", getattr(node, "name", ""), function, why))
        elif len(self._safe_configs) < _MAX_FINDINGS:
            self._safe_configs.add(serialized)

    def _assets(self) -> Iterator[str]:
        """Names of the nodes that hold assets in order; adds what is not in order."""
        for asset in asset_files(self._graph):
            if _is_inside(asset.filename):
                yield asset.tensor_info.name.partition(":")[0]
            else:
                why = "an asset must lie in assets/, where this name does not lead"
                self._add("asset", Found("", asset.filename, "", why))


def asset_files(graph: Any) -> Iterator[Any]:
    """AssetFileDefs: a field of TF2 SavedModels, a collection in the TF1 hub format."""
    from tensorboard.compat.proto import meta_graph_pb2

    yield from graph.asset_file_def
    if _ASSETS in graph.collection_def:
        collection = graph.collection_def[_ASSETS]
        packed = [any_.value for any_ in collection.any_list.value]
        for serialized in (*packed, *collection.bytes_list.value):
            yield meta_graph_pb2.AssetFileDef.FromString(serialized)


def _is_inside(name: str) -> bool:
    """Whether a name of an asset is a plain path below the folder of assets."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and not any(odd in name for odd in ("\0", "\\", "://"))
    )


def _notes(path: Path) -> Iterator[str]:
    keras = path / _KERAS
    try:
        with open_regular(keras) as file:
            has_lambda = _LAMBDA in file.read(_MAX_READ_BYTES)
    except OSError:
        return
    if has_lambda:
        yield (
            f"{_KERAS} holds code of a Lambda layer: hub_tfx and hub.load never read it, "
            "tf.keras.models.load_model runs it"
        )
