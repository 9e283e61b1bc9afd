"""What leads where in a stored graph: which names reach the ops that open files, and who calls the
ops that read and write checkpoints. Reads only; no TensorFlow. Each takes linear time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_SAVER_COLLECTION = "savers"
_FED = ("Const", "Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_VARIABLE, _ASSIGN = "VarHandleOp", "AssignVariableOp"
_PLAIN_USES = (_ASSIGN, "ReadVariableOp", "VarIsInitializedOp")


class Found(NamedTuple):
    """A node that may not be where it is.

    Attributes:
      op: the op that is at fault, which may be one of a function that the node calls.
      node: its name.
      function: the function that it is in; empty for the graph itself.
      why: what is wrong.
    """

    op: str
    node: str
    function: str
    why: str


class Argument(NamedTuple):
    """Where a value of a function comes from: its argument of this number."""

    number: int


@dataclass
class Flow:
    """One graph and its functions, as a walk over all nodes has filled it.

    Attributes:
      graph: a MetaGraphDef.
      assets: names of the nodes that hold the paths of assets that are in order.
      files: (function, node) of every node that reads a file by the name that its second input is.
      savers: (function, node) of every node that reads or writes a checkpoint.
      calls: called function -> (function, node, whether the node's inputs are its arguments).
    """

    graph: Any
    assets: frozenset[str] = frozenset()
    files: list[tuple[str, Any]] = field(default_factory=list)
    savers: list[tuple[str, Any]] = field(default_factory=list)
    calls: dict[str, list[tuple[str, Any, bool]]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        functions = self.graph.graph_def.library.function
        self.library = {function.signature.name: function for function in functions}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._arguments: dict[str, dict[str, int]] = {}
        self._sources: dict[tuple[str, str], Any] = {}
        self._uses: tuple[Any, Any] | None = None

    def misplaced_files(self) -> Iterator[Found]:
        """The ops that read a file by a name that is not that of an asset of the module."""
        waiting: list[tuple[str, str, int]] = []
        for function, node in self.files:
            yield from self._file_name(node.op, function, node, 1, waiting)
        seen = set(waiting)
        while waiting:
            op, function, number = waiting.pop()
            more: list[tuple[str, str, int]] = []
            for caller, node, is_direct in self.calls.get(function, ()):
                if is_direct:
                    yield from self._file_name(op, caller, node, number, more)
                else:
                    why = f"{node.op} gives the function {function} the name of the file"
                    yield Found(op, node.name, caller, why)
            yield from self._captured(op, function, number)
            fresh = [item for item in more if item not in seen]
            seen.update(fresh)
            waiting += fresh

    def misplaced_savers(self) -> Iterator[Found]:
        """The ops that read and write checkpoints elsewhere than where the SaverDef leads."""
        if not self.savers:
            return
        holds = self._holding_savers()
        saver = self.graph.saver_def
        places = (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name)
        inside = self._ancestors(filter(None, places))
        outside = self._ancestors(self._other_roots())
        for op, node in self._top_savers(holds):
            if node.name not in inside:
                yield Found(op, node.name, "", "the SaverDef of the graph does not lead to it")
            elif node.name in outside:
                yield Found(op, node.name, "", "it is run by more than the SaverDef of the graph")
        yield from self._callable_savers(holds)
        yield from self._constant_checkpoints(_base(saver.filename_tensor_name))

    def _file_name(
        self, op: str, function: str, node: Any, number: int, waiting: list[tuple[str, str, int]]
    ) -> Iterator[Found]:
        inputs = [name for name in node.input if not name.startswith("^")]
        source = self.source(function, inputs[number]) if number < len(inputs) else None
        if isinstance(source, Argument):
            waiting.append((op, function, source.number))
        elif source is None:
            yield Found(op, node.name, function, "the name of its file is computed or fed")
        elif not self._is_asset(function, source.name):
            values = [v.decode("utf-8", "replace") for v in source.attr["value"].tensor.string_val]
            why = f"its file {values[0][:200]!r} is not an asset" if values else "it has no asset"
            yield Found(op, node.name, function, why)

    def _captured(self, op: str, function: str, number: int) -> Iterator[Found]:
        """Looks at what a function that can be called from outside is given as this argument."""
        objects = self.graph.object_graph_def
        if function not in objects.concrete_functions or function not in self.library:
            return
        bound = objects.concrete_functions[function].bound_inputs
        place = number - (len(self.library[function].signature.input_arg) - len(bound))
        if not 0 <= place < len(bound):
            yield Found(op, "", function, "the name of its file is an argument of the caller")
            return
        captured = objects.nodes[bound[place]]
        if captured.HasField("asset"):
            return
        if captured.HasField("constant") and captured.constant.operation in self.assets:
            return
        yield Found(op, "", function, "the name of its file is captured from what is not an asset")

    def _holding_savers(self) -> dict[str, str]:
        """Function that runs such an op, itself or through others -> the op."""
        holds = {function: node.op for function, node in self.savers if function}
        waiting = list(holds)
        while waiting:
            function = waiting.pop()
            for caller, _, _ in self.calls.get(function, ()):
                if caller and caller not in holds:
                    holds[caller] = holds[function]
                    waiting.append(caller)
        return holds

    def _top_savers(self, holds: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
        for function, node in self.savers:
            if not function:
                yield node.op, node
        for function, op in holds.items():
            for caller, node, _ in self.calls.get(function, ()):
                if not caller:
                    yield op, node

    def _callable_savers(self, holds: Mapping[str, str]) -> Iterator[Found]:
        for function, op in holds.items():
            if function in self.graph.object_graph_def.concrete_functions:
                yield Found(op, "", function, "an object of the module can call it")
            elif not self.calls.get(function):
                yield Found(op, "", function, "the SaverDef of the graph does not lead to it")
        library = self.graph.graph_def.library
        for gradient in (*library.gradient, *library.registered_gradients):
            if gradient.gradient_func in holds:
                op, function = holds[gradient.gradient_func], gradient.gradient_func
                yield Found(op, "", function, "it is the gradient of an operation")

    def _constant_checkpoints(self, file_name: str) -> Iterator[Found]:
        for function, node in self.savers:
            if node.op not in ("SaveV2", "RestoreV2") or not node.input:
                continue
            source = self.source(function, node.input[0])
            if source is None or isinstance(source, Argument):
                continue
            if function or source.name != file_name:
                yield Found(node.op, node.name, function, "its file has a name inside the graph")

    def _other_roots(self) -> Iterator[str]:
        """Names of what is run, apart from the SaverDef: signatures, collections, initializers."""
        for signature in self.graph.signature_def.values():
            for infos in (signature.outputs, signature.inputs):
                for info in infos.values():
                    yield from _tensor_names(info)
        for name, collection in self.graph.collection_def.items():
            yield from collection.node_list.value
            if name != _SAVER_COLLECTION:
                yield from _variable_names(collection.bytes_list.value)

    def _ancestors(self, names: Iterable[str]) -> set[str]:
        """Names of the nodes of the graph itself that these need, and their own."""
        nodes = self._by_name("")
        waiting = [base for base in map(_base, names) if base in nodes]
        found = set(waiting)
        while waiting:
            for name in map(_base, nodes[waiting.pop()].input):
                if name in nodes and name not in found:
                    found.add(name)
                    waiting.append(name)
        return found

    def source(self, function: str, name: str) -> Any:
        """The constant, asset or Argument that an input is, through Identity; None otherwise."""
        nodes, arguments = self._by_name(function), self._arguments_of(function)
        passed: list[tuple[str, str]] = []
        base, source = _base(name), None
        while True:
            key = function, base
            if key in self._sources:
                source = self._sources[key]
                break
            passed.append(key)
            self._sources[key] = None  # Should damage have made a circle.
            node = nodes.get(base)
            if base in arguments:
                source = Argument(arguments[base])
            elif node is not None and (node.op == "Const" or self._is_asset(function, base)):
                source = node
            elif node is not None and node.input and node.op == "Identity":
                base = _base(node.input[0])
                continue
            elif node is not None and node.input and node.op == "ReadVariableOp" and not function:
                source = self._asset_in_variable(_base(node.input[0]))
            break
        self._sources.update(dict.fromkeys(passed, source))
        return source

    def _is_asset(self, function: str, name: str) -> bool:
        """Whether a node has one output, which TensorFlow feeds with the path of an asset."""
        if function or name not in self.assets:
            return False
        node = self._by_name("").get(name)
        return node is not None and node.op in _FED

    def _asset_in_variable(self, name: str) -> Any:
        """The asset that is all that a variable of the graph is ever given; None otherwise.

        So Keras and tf.Module save a table: the path goes through a variable to its initializer.
        """
        uses, names = self._variables()
        variable = self._by_name("").get(name)
        if variable is None or names.get(_shared_name(variable)) != 1:
            return None
        nodes = uses.get(name, [])
        if any(node.op not in _PLAIN_USES or _base(node.input[0]) != name for node in nodes):
            return None
        given = [_base(n.input[1]) for n in nodes if n.op == _ASSIGN and len(n.input) > 1]
        if not given or not all(self._is_asset("", value) for value in given):
            return None
        return self._by_name("")[given[0]]

    def _variables(self) -> tuple[dict[str, list[Any]], dict[tuple[bytes, bytes], int]]:
        """The nodes of the graph that use each variable, and how many variables share a name."""
        if self._uses is None:
            uses: dict[str, list[Any]] = defaultdict(list)
            names: dict[tuple[bytes, bytes], int] = defaultdict(int)
            bodies = [self.graph.graph_def.node, *(f.node_def for f in self.library.values())]
            handles = {n.name for n in bodies[0] if n.op == _VARIABLE}
            for node in bodies[0]:
                for used in handles.intersection(map(_base, node.input)):
                    uses[used].append(node)
            for node in (node for body in bodies for node in body if node.op == _VARIABLE):
                names[_shared_name(node)] += 1
            self._uses = uses, names
        return self._uses

    def _by_name(self, function: str) -> dict[str, Any]:
        if function not in self._nodes:
            body = self.library[function].node_def if function else self.graph.graph_def.node
            self._nodes[function] = {node.name: node for node in body}
        return self._nodes[function]

    def _arguments_of(self, function: str) -> dict[str, int]:
        if function not in self._arguments:
            given = self.library[function].signature.input_arg if function else ()
            self._arguments[function] = {argument.name: n for n, argument in enumerate(given)}
        return self._arguments[function]


def _base(name: str) -> str:
    """The node of a tensor's name."""
    return name.lstrip("^").partition(":")[0]


def _shared_name(variable: Any) -> tuple[bytes, bytes]:
    """By which variables are one: TensorFlow takes the node's name where none is given."""
    attributes = variable.attr
    container = attributes["container"].s if "container" in attributes else b""
    shared = attributes["shared_name"].s if "shared_name" in attributes else b""
    return container, shared or variable.name.encode()


def _tensor_names(info: Any) -> Iterator[str]:
    yield info.name
    sparse = info.coo_sparse
    yield from (
        sparse.values_tensor_name,
        sparse.indices_tensor_name,
        sparse.dense_shape_tensor_name,
    )
    for component in info.composite_tensor.components:
        yield component.name


def _variable_names(serialized: Iterable[bytes]) -> Iterator[str]:
    from tensorboard.compat.proto import variable_pb2

    for entry in serialized:
        variable: Any = variable_pb2.VariableDef()
        try:
            variable.ParseFromString(entry)
        except (DecodeError, RuntimeError):
            continue  # Of another type.
        yield variable.initializer_name
        yield variable.initial_value_name
        yield variable.snapshot_name
        yield variable.variable_name
