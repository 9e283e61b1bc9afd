"""Modules that would do harm if they were loaded, one for each way in, built as messages.

Nothing here runs, and no TensorFlow is imported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorboard.compat.proto import config_pb2, meta_graph_pb2, types_pb2, variable_pb2

from hub_tfx.module.proto import saved_model_class

SECRET = b"/etc/passwd"
FILES = "InitializeTableFromTextFileV2"


@dataclass(frozen=True)
class Hostile:
    """A way in, and what must be told of it.

    Attributes:
      change: what is done to a harmless SavedModel.
      rule, op, node, function: of the finding.
      as_text: whether it is stored in saved_model.pbtxt.
    """

    change: Callable[[Any], object]
    rule: str
    op: str = ""
    node: str = ""
    function: str = ""
    as_text: bool = False


def saved_model() -> Any:
    """A harmless SavedModel with one graph, one function and a signature."""
    saved: Any = saved_model_class()(saved_model_schema_version=1)
    graph = saved.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    node(graph.graph_def, "Placeholder", "text")
    call(graph.graph_def, "vectors", "embed", ["text"])
    body = function(graph, "embed", ["text"])
    node(body, "StringLower", "lower", ["text"])
    signature = graph.signature_def["serving_default"]
    text, vectors = signature.inputs["text"], signature.outputs["default"]
    text.name, text.dtype = "text:0", types_pb2.DT_STRING
    vectors.name, vectors.dtype = "vectors:0", types_pb2.DT_FLOAT
    return saved


def node(body: Any, op: str, name: str, inputs: Any = ()) -> Any:
    """Adds a node to a GraphDef or FunctionDef."""
    nodes = body.node if hasattr(body, "node") else body.node_def
    return nodes.add(op=op, name=name, input=inputs)


def constant(body: Any, name: str, value: bytes = SECRET) -> Any:
    added = node(body, "Const", name)
    added.attr["dtype"].type = types_pb2.DT_STRING
    added.attr["value"].tensor.string_val.append(value)
    return added


def function(graph: Any, name: str, arguments: Any = ()) -> Any:
    added = graph.graph_def.library.function.add()
    added.signature.name = name
    for argument in arguments:
        added.signature.input_arg.add(name=argument, type=types_pb2.DT_STRING)
    return added


def call(body: Any, name: str, called: str, inputs: Any = ()) -> Any:
    added = node(body, "StatefulPartitionedCall", name, inputs)
    added.attr["f"].func.name = called
    return added


def write(folder: Path, saved: Any, *, as_text: bool = False) -> Path:
    """A module's directory with this SavedModel."""
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "variables.index").write_bytes(b"no variables")
    if as_text:
        (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(saved))
    else:
        (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


def build(folder: Path, name: str) -> Path:
    """One of HOSTILE in a directory."""
    hostile, saved = HOSTILE[name], saved_model()
    hostile.change(saved.meta_graphs[0])
    return write(folder, saved, as_text=hostile.as_text)


# --- Ways in: each changes the graph of a harmless module ----------------------------------------


def _in_graph(op: str) -> Callable[[Any], object]:
    return lambda graph: node(graph.graph_def, op, "evil")


def _in_function(op: str) -> Callable[[Any], object]:
    return lambda graph: node(graph.graph_def.library.function[0], op, "evil")


def _in_uncalled_function(graph: Any) -> None:
    node(function(graph, "never_called"), "WriteFile", "evil")


def _called_by(op: str, attribute: str) -> Callable[[Any], object]:
    """A function that only an attribute of another op names."""

    def change(graph: Any) -> None:
        node(function(graph, "inner"), "ReadFile", "evil")
        node(graph.graph_def, op, "outer").attr[attribute].func.name = "inner"

    return change


def _called_by_a_list(graph: Any) -> None:
    node(function(graph, "inner"), "ReadFile", "evil")
    branches = node(graph.graph_def, "Case", "outer").attr["branches"].list
    branches.func.add(name="embed")
    branches.func.add(name="inner")


def _names_an_op_as_function(graph: Any) -> None:
    call(graph.graph_def, "outer", "WriteFile")


def _names_an_op_deep_inside(graph: Any) -> None:
    called = node(graph.graph_def, "If", "outer").attr["then_branch"].func
    called.name = "embed"
    called.attr["f"].func.name = "ReadFile"


def _names_no_function(graph: Any) -> None:
    call(graph.graph_def, "outer", "of_somebody_else")


def _function_called_like_an_op(graph: Any) -> None:
    function(graph, "StringUpper")


def _two_functions_of_one_name(graph: Any) -> None:
    function(graph, "embed")


def _custom_gradient(graph: Any) -> None:
    node(function(graph, "gradient"), "PyFunc", "evil")
    graph.graph_def.library.gradient.add(function_name="embed", gradient_func="gradient")


def _registered_gradient(graph: Any) -> None:
    library = graph.graph_def.library
    library.registered_gradients.add(gradient_func="EagerPyFunc", registered_op_type="Custom-1")


def _init_op(collection: str) -> Callable[[Any], object]:
    def change(graph: Any) -> None:
        node(graph.graph_def, "WriteFile", "evil")
        node(graph.graph_def, "NoOp", "init", ["^evil"])
        graph.collection_def[collection].node_list.value.append("init")

    return change


def _program(op: str, attribute: str) -> Callable[[Any], object]:
    def change(graph: Any) -> None:
        added = node(graph.graph_def.library.function[0], op, "evil")
        added.attr[attribute].s = saved_model().SerializeToString()

    return change


def _asset(name: str) -> Callable[[Any], object]:
    def change(graph: Any) -> None:
        constant(graph.graph_def, "path", b"")
        asset = graph.asset_file_def.add(filename=name)
        asset.tensor_info.name = "path:0"

    return change


def _asset_in_collection(graph: Any) -> None:
    asset: Any = meta_graph_pb2.AssetFileDef(filename="../../etc/passwd")
    graph.collection_def["saved_model_assets"].any_list.value.add().Pack(asset)


def _table_of_a_constant(graph: Any) -> None:
    constant(graph.graph_def, "path")
    node(graph.graph_def, "HashTableV2", "table")
    node(graph.graph_def, FILES, "evil", ["table", "path"])


def _table_of_a_constant_behind_identity(graph: Any) -> None:
    constant(graph.graph_def, "path")
    node(graph.graph_def, "Identity", "same", ["path"])
    node(graph.graph_def, "HashTableV2", "table")
    node(graph.graph_def, FILES, "evil", ["table", "same"])


def _table_of_what_is_computed(graph: Any) -> None:
    constant(graph.graph_def, "folder", b"/etc")
    node(graph.graph_def, "StringJoin", "path", ["folder", "text"])
    node(graph.graph_def, "HashTableV2", "table")
    node(graph.graph_def, FILES, "evil", ["table", "path"])


def _table_of_what_is_fed(graph: Any) -> None:
    node(graph.graph_def, FILES, "evil", ["table", "text"])


def _table_in_function(graph: Any) -> None:
    body = function(graph, "initializer", ["table"])
    constant(body, "path")
    node(body, FILES, "evil", ["table", "path:output:0"])


def _table_by_an_argument(graph: Any) -> None:
    """The name of the file comes from the caller of the caller."""
    node(function(graph, "inner", ["table", "path"]), FILES, "read", ["table", "path"])
    call(function(graph, "outer", ["table", "path"]), "through", "inner", ["table", "path"])
    constant(graph.graph_def, "path")
    call(graph.graph_def, "evil", "outer", ["text", "path"])


def _table_by_a_branch(graph: Any) -> None:
    node(function(graph, "inner", ["table", "path"]), FILES, "read", ["table", "path"])
    constant(graph.graph_def, "path")
    branch = node(graph.graph_def, "If", "evil", ["text", "text", "path"])
    branch.attr["then_branch"].func.name = "inner"


def _captured(kind: str) -> Callable[[Any], object]:
    """An object of the module calls a function with a constant that it has captured."""

    def change(graph: Any) -> None:
        node(function(graph, "initializer", ["path", "table"]), FILES, "r", ["table", "path"])
        constant(graph.graph_def, "path")
        objects = graph.object_graph_def
        objects.nodes.add().user_object.identifier = "_generic_user_object"
        captured = objects.nodes.add()
        if kind == "constant":
            captured.constant.operation = "path"
        concrete = objects.concrete_functions["initializer"]
        concrete.bound_inputs.extend([1, 0] if kind else [])

    return change


def _asset_through_a_variable(graph: Any) -> None:
    """Of two values that a variable is given, one is an asset."""
    _asset("words.txt")(graph)
    constant(graph.graph_def, "other")
    body = graph.graph_def
    node(body, "VarHandleOp", "kept")
    node(body, "AssignVariableOp", "first", ["kept", "path"])
    node(body, "AssignVariableOp", "second", ["kept", "other"])
    node(body, "ReadVariableOp", "read", ["kept", "^second"])
    node(body, FILES, "evil", ["text", "read"])


def _asset_through_a_shared_variable(graph: Any) -> None:
    """Two variables have one name: what one is given, the other has."""
    _asset("words.txt")(graph)
    constant(graph.graph_def, "other")
    body = graph.graph_def
    for name in ("kept", "twin"):
        node(body, "VarHandleOp", name).attr["shared_name"].s = b"one"
    node(body, "AssignVariableOp", "first", ["kept", "path"])
    node(body, "AssignVariableOp", "second", ["twin", "other"])
    node(body, "ReadVariableOp", "read", ["kept", "^second"])
    node(body, FILES, "evil", ["text", "read"])


def _asset_of_another_output(graph: Any) -> None:
    """The asset is fed to one output of a node, and the table takes another one."""
    _asset("words.txt")(graph)
    body = graph.graph_def
    constant(body, "both")
    node(body, "Unpack", "parts", ["both"])
    graph.asset_file_def[0].tensor_info.name = "parts:1"
    node(body, FILES, "evil", ["text", "parts:0"])


def _saver(graph: Any) -> None:
    """What every module has: nodes that save and restore, to which the SaverDef leads."""
    body = graph.graph_def
    node(body, "Placeholder", "file")
    node(body, "SaveV2", "save", ["file"])
    node(body, "RestoreV2", "restore", ["file"])
    graph.saver_def.filename_tensor_name = "file:0"
    graph.saver_def.save_tensor_name = "save:0"
    graph.saver_def.restore_op_name = "restore"


def _restores_when_called(graph: Any) -> None:
    _saver(graph)
    node(graph.graph_def.library.function[0], "RestoreV2", "evil", ["text"])


def _saves_for_a_signature(graph: Any) -> None:
    _saver(graph)
    graph.signature_def["serving_default"].outputs["default"].name = "more:0"
    node(graph.graph_def, "Identity", "more", ["vectors", "^save"])


def _saves_for_an_initializer(graph: Any) -> None:
    _saver(graph)
    variable: Any = variable_pb2.VariableDef(variable_name="v:0", initializer_name="save")
    graph.collection_def["variables"].bytes_list.value.append(variable.SerializeToString())


def _saves_for_nobody(graph: Any) -> None:
    node(graph.graph_def, "SaveV2", "evil", ["text"])


def _restores_a_file_of_its_own(graph: Any) -> None:
    _saver(graph)
    constant(graph.graph_def, "path", b"/home/somebody/model")
    node(graph.graph_def, "RestoreV2", "evil", ["path"])
    node(graph.graph_def, "NoOp", "both", ["^restore", "^evil"])
    graph.saver_def.restore_op_name = "both"


def _restores_through_functions(graph: Any) -> None:
    """An object of the module can call what calls what restores."""
    node(function(graph, "inner", ["file"]), "RestoreV2", "r", ["file"])
    call(function(graph, "outer", ["file"]), "c", "inner", ["file"])
    graph.object_graph_def.concrete_functions["outer"].bound_inputs.extend([])


def _attribute(op: str, name: str, value: bytes) -> Callable[[Any], object]:
    def change(graph: Any) -> None:
        node(graph.graph_def.library.function[0], op, "evil").attr[name].s = value

    return change


def _parses_a_handle(graph: Any) -> None:
    added = node(graph.graph_def.library.function[0], "ParseTensor", "evil", ["text"])
    added.attr["out_type"].type = types_pb2.DT_RESOURCE


def _resource_constant(graph: Any) -> None:
    added = node(graph.graph_def.library.function[0], "Const", "evil")
    handle = added.attr["value"].tensor.resource_handle_val.add()
    handle.name, handle.container = "somebody's table", "localhost"


def _variant_constant(graph: Any) -> None:
    added = node(graph.graph_def, "Const", "evil")
    added.attr["value"].tensor.variant_val.add(type_name="tensorflow::DatasetVariantWrapper")


def _config(graph: Any) -> None:
    config: Any = config_pb2.ConfigProto()
    config.graph_options.rewrite_options.custom_optimizers.add(name="TensorRTOptimizer")
    called = call(graph.graph_def, "evil", "embed", ["text"])
    called.attr["config_proto"].s = config.SerializeToString()


def _cluster(graph: Any) -> None:
    config: Any = config_pb2.ConfigProto()
    config.cluster_def.job.add(name="worker").tasks[0] = "evil.example.org:2222"
    called = call(graph.graph_def, "evil", "embed", ["text"])
    called.attr["config_proto"].s = config.SerializeToString()


HOSTILE: Mapping[str, Hostile] = {
    # Where an op may be.
    "graph": Hostile(_in_graph("WriteFile"), "op", "WriteFile", "evil"),
    "function": Hostile(_in_function("ReadFile"), "op", "ReadFile", "evil", "embed"),
    "function that nobody calls": Hostile(
        _in_uncalled_function, "op", "WriteFile", "evil", "never_called"
    ),
    "rows": Hostile(_called_by("MapDataset", "f"), "op", "ReadFile", "evil", "inner"),
    "iterator": Hostile(
        _called_by("OneShotIterator", "dataset_factory"), "op", "ReadFile", "evil", "inner"
    ),
    "branch": Hostile(_called_by("If", "else_branch"), "op", "ReadFile", "evil", "inner"),
    "loop": Hostile(_called_by("StatelessWhile", "cond"), "op", "ReadFile", "evil", "inner"),
    "list of branches": Hostile(_called_by_a_list, "op", "ReadFile", "evil", "inner"),
    "text": Hostile(_in_graph("WriteFile"), "op", "WriteFile", "evil", as_text=True),
    "main op": Hostile(_init_op("saved_model_main_op"), "op", "WriteFile", "evil"),
    "legacy init op": Hostile(_init_op("legacy_init_op"), "op", "WriteFile", "evil"),
    "table initializer": Hostile(_init_op("table_initializer"), "op", "WriteFile", "evil"),
    # Names of functions.
    "op as a function": Hostile(_names_an_op_as_function, "op", "WriteFile", "outer"),
    "op inside a function's attribute": Hostile(
        _names_an_op_deep_inside, "op", "ReadFile", "outer"
    ),
    "function of somebody else": Hostile(_names_no_function, "function", "", "outer"),
    "function with an op's name": Hostile(
        _function_called_like_an_op, "function", "", "", "StringUpper"
    ),
    "two functions of one name": Hostile(_two_functions_of_one_name, "function", "", "", "embed"),
    "gradient": Hostile(_custom_gradient, "op", "PyFunc", "evil", "gradient"),
    "registered gradient": Hostile(_registered_gradient, "op", "EagerPyFunc"),
    # Kinds of op.
    "Python": Hostile(_in_function("PyFuncStateless"), "op", "PyFuncStateless", "evil", "embed"),
    "end of the process": Hostile(_in_function("Abort"), "op", "Abort", "evil", "embed"),
    "rows of a file": Hostile(_in_function("TFRecordDatasetV2"), "op", "TFRecordDatasetV2"),
    "rows of a database": Hostile(_in_function("SqlDataset"), "op", "SqlDataset"),
    "rows of another machine": Hostile(_in_function("DataServiceDatasetV4"), "op"),
    "call of another machine": Hostile(_in_function("RpcCall"), "op", "RpcCall"),
    "events": Hostile(_in_function("CreateSummaryFileWriter"), "op", "CreateSummaryFileWriter"),
    "mapped file": Hostile(_in_function("ImmutableConst"), "op", "ImmutableConst"),
    "debugger": Hostile(_in_function("DebugIdentityV3"), "op", "DebugIdentityV3"),
    "op of a package": Hostile(_in_function("SentencepieceOp"), "package", "SentencepieceOp"),
    "op that nobody knows": Hostile(_in_function("Evil>Op"), "op", "Evil>Op", "evil", "embed"),
    "op of TensorFlow's own": Hostile(_in_function("_Send"), "op", "_Send", "evil", "embed"),
    # Programs inside ops.
    "dataset as a program": Hostile(
        _program("DatasetFromGraph", "graph"), "op", "DatasetFromGraph"
    ),
    "program of XLA": Hostile(_program("XlaCallModule", "module"), "op", "XlaCallModule"),
    "program of TensorRT": Hostile(
        _program("TRTEngineOp", "serialized_segment"), "op", "TRTEngineOp"
    ),
    "program of TensorFlow Lite": Hostile(
        _program("TfLiteSubgraphExecute", "s"), "op", "TfLiteSubgraphExecute"
    ),
    "program of a remote graph": Hostile(
        _program("RemoteFusedGraphExecute", "p"), "op", "RemoteFusedGraphExecute"
    ),
    # Assets and names of files.
    "asset outside": Hostile(_asset("../../etc/passwd"), "asset", "", "../../etc/passwd"),
    "absolute asset": Hostile(_asset("/etc/passwd"), "asset", "", "/etc/passwd"),
    "asset that is a URL": Hostile(_asset("gs://bucket/words"), "asset", "", "gs://bucket/words"),
    "asset without a name": Hostile(_asset(""), "asset"),
    "asset in a collection": Hostile(_asset_in_collection, "asset", "", "../../etc/passwd"),
    "table of a constant": Hostile(_table_of_a_constant, "file", FILES, "evil"),
    "table of the same constant": Hostile(
        _table_of_a_constant_behind_identity, "file", FILES, "evil"
    ),
    "table of a computed name": Hostile(_table_of_what_is_computed, "file", FILES, "evil"),
    "table of a fed name": Hostile(_table_of_what_is_fed, "file", FILES, "evil"),
    "table in a function": Hostile(_table_in_function, "file", FILES, "evil", "initializer"),
    "table by an argument": Hostile(_table_by_an_argument, "file", FILES, "evil"),
    "table by a branch": Hostile(_table_by_a_branch, "file", FILES, "evil"),
    "table by a captured constant": Hostile(
        _captured("constant"), "file", FILES, "", "initializer"
    ),
    "table by an argument of the caller": Hostile(_captured(""), "file", FILES, "", "initializer"),
    "asset and another name": Hostile(_asset_through_a_variable, "file", FILES, "evil"),
    "asset and a twin": Hostile(_asset_through_a_shared_variable, "file", FILES, "evil"),
    "asset of another output": Hostile(_asset_of_another_output, "file", FILES, "evil"),
    # Checkpoints.
    "restore in a call": Hostile(_restores_when_called, "saver", "RestoreV2", "vectors"),
    "save for a signature": Hostile(_saves_for_a_signature, "saver", "SaveV2", "save"),
    "save for an initializer": Hostile(_saves_for_an_initializer, "saver", "SaveV2", "save"),
    "save for nobody": Hostile(_saves_for_nobody, "saver", "SaveV2", "evil"),
    "restore of another file": Hostile(_restores_a_file_of_its_own, "saver", "RestoreV2", "evil"),
    "restore through functions": Hostile(
        _restores_through_functions, "saver", "RestoreV2", "", "outer"
    ),
    # Attributes and constants.
    "print to a file": Hostile(
        _attribute("PrintV2", "output_stream", b"file:///tmp/x"), "attribute", "PrintV2", "evil"
    ),
    "sampler of a file": Hostile(
        _attribute("FixedUnigramCandidateSampler", "vocab_file", SECRET), "attribute"
    ),
    "message types of a file": Hostile(
        _attribute("DecodeProtoV2", "descriptor_source", SECRET), "attribute", "DecodeProtoV2"
    ),
    "parsed handle of a resource": Hostile(
        _parses_a_handle, "attribute", "ParseTensor", "evil", "embed"
    ),
    "vocabulary of pairs": Hostile(_in_function("Skipgram"), "op", "Skipgram"),
    "handle of a resource": Hostile(_resource_constant, "constant", "", "evil", "embed"),
    "object of the process": Hostile(_variant_constant, "constant", "", "evil"),
    "optimizer of a session": Hostile(_config, "config", "", "evil"),
    "machines of a session": Hostile(_cluster, "config", "", "evil"),
}

OTHER_GRAPHS: Mapping[str, tuple[str, ...]] = {
    "for training": ("train",),
    "without a signature": (),
    "with the same tags": ("serve",),
    "for TPUs": ("serve", "tpu"),
}


def build_with_other_graph(folder: Path, name: str) -> Path:
    """A harmless graph, and a hostile one that has these tags."""
    saved = saved_model()
    other = saved.meta_graphs.add()
    other.meta_info_def.tags.extend(OTHER_GRAPHS[name])
    node(other.graph_def, "WriteFile", "evil")
    return write(folder, saved)
