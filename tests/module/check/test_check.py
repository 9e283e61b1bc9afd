"""check: what makes a module fit to be built on, and each way in which it may not be."""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import copytree
from typing import Any

import hostile_modules
import pytest
from ending import must_end
from hostile_modules import HOSTILE, build, constant, node, write

from hub_tfx.errors import ConfigError, NotAModuleError, SignatureError
from hub_tfx.module import child
from hub_tfx.module.check import Check, CheckReport, check, hermetic
from hub_tfx.module.inspect import inspect
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.proto import saved_model_class
from hub_tfx.module.spec import CALL, ModuleFormat
from hub_tfx.testing import minimal_module


def _named(report: CheckReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def _failures(path: Path) -> dict[str, str]:
    return {check.name: check.why for check in check(path, run=False).failures}


def _changed(module: Path, into: Path, change: Callable[[Any], object]) -> Path:
    """A copy of a module with another saved_model.pb."""
    copytree(module, into)
    saved_model: Any = saved_model_class()()
    saved_model.ParseFromString((into / "saved_model.pb").read_bytes())
    change(saved_model)
    (into / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return into


def _train_graph(saved_model: Any) -> Any:
    return next(g for g in saved_model.meta_graphs if "train" in g.meta_info_def.tags)


def _children(saved_model: Any) -> Any:
    return saved_model.meta_graphs[0].object_graph_def.nodes[0].children


# --- Our own modules -----------------------------------------------------------------------------


def test_our_text_modules_pass(text_module_dir: Path, module_format: ModuleFormat) -> None:
    report = check(text_module_dir)
    assert report.passed, report.failures
    assert report.format == module_format
    outcomes = {check.name: check.outcome for check in report.checks}
    in_tf1 = {"train-tags": "pass", "regularization": "pass", "update-ops": "not-applicable"}
    in_tf2 = {"callable": "pass", "saved-attributes": "pass"}
    is_tf1 = module_format == "tf1_hub"
    assert outcomes == {
        "common-signatures": "pass",
        "batch-dimension": "pass",
        "assets": "pass",
        **(in_tf1 if is_tf1 else dict.fromkeys(in_tf1, "not-applicable")),
        **(in_tf2 if not is_tf1 else dict.fromkeys(in_tf2, "not-applicable")),
        "safe-ops": "pass",
        "hermetic": "pass",
    }
    assert _named(report, "assets").why == "vocabulary.txt in assets"
    assert "default float32[2, 4]" in _named(report, "hermetic").why
    assert all(check.why and not check.fix for check in report.checks)


def test_our_image_modules_pass(image_module_dir: Path, module_format: ModuleFormat) -> None:
    report = check(image_module_dir, run=False)
    assert report.passed, report.failures
    expected = "pass" if module_format == "tf1_hub" else "not-applicable"
    assert _named(report, "update-ops").outcome == expected
    assert _named(report, "hermetic").why == "it was not run (--no-run)"
    assert "(image)" in _named(report, "common-signatures").why


def test_nothing_but_running_needs_tensorflow(text_module_dir: Path) -> None:
    code = (
        "import sys; from hub_tfx.module.check import check; check(sys.argv[1], run=False);"
        "sys.exit(bool({'tensorflow', 'tensorflow_hub'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(text_module_dir)]).returncode == 0


def test_a_failure_says_what_to_do_and_the_report_is_json(tmp_path: Path) -> None:
    report = check(minimal_module(tmp_path / "m"), run=False)
    assert not report.passed
    assert [c.name for c in report.failures] == ["callable"]
    document = report.to_dict()
    assert (document["passed"], document["format"]) == (False, "saved_model")
    assert document["checks"][6] == {
        "name": "callable",
        "outcome": "fail",
        "why": "it has no __call__: only signatures, which cannot be trained",
        "fix": "save an object whose __call__ is a tf.function of (inputs, training=False)",
    }


def test_what_is_no_module_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotAModuleError, match="does not hold saved_model"):
        check(tmp_path)


def test_a_damaged_graph_is_checked_or_named(text_module_dir: Path, tmp_path: Path) -> None:
    """Flipped in many places: a report, or NotAModuleError, and nothing else."""
    copytree(text_module_dir, tmp_path / "m")
    data = (tmp_path / "m" / "saved_model.pb").read_bytes()
    for at in range(0, len(data), len(data) // 80):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        (tmp_path / "m" / "saved_model.pb").write_bytes(flipped)
        with suppress(NotAModuleError):
            check(tmp_path / "m", run=False)


# --- Signatures ----------------------------------------------------------------------------------

_DTYPES = {"float32": 1, "float64": 2, "int32": 3, "string": 7}


def _module_with(path: Path, signatures: dict[str, tuple[dict, dict]]) -> Path:
    """A SavedModel with ``{name: (inputs, outputs)}`` of ``{key: (dtype, shape)}``, -1 is open."""

    def fill(infos: Any, wanted: dict[str, tuple[str, tuple[int, ...]]]) -> None:
        for key, (dtype, shape) in wanted.items():
            infos[key].dtype = _DTYPES[dtype]
            for size in shape:
                infos[key].tensor_shape.dim.add(size=size)

    def change(saved_model: Any) -> None:
        defined = saved_model.meta_graphs[0].signature_def
        defined.clear()
        for name, (inputs, outputs) in signatures.items():
            fill(defined[name].inputs, inputs)
            fill(defined[name].outputs, outputs)

    return _changed(minimal_module(path.with_name("base")), path, change)


_TEXTS = {"text": ("string", (-1,))}
_VECTORS = {"default": ("float32", (-1, 4))}
_IMAGES = {"images": ("float32", (-1, -1, -1, 3))}
_TOKENS = dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), ("int32", (-1, -1)))
_ENCODED = _VECTORS | {
    "pooled_output": ("float32", (-1, 4)),
    "sequence_output": ("float32", (-1, -1, 4)),
}


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "kind"),
    [
        ("default", _TEXTS, _VECTORS, "text"),
        ("default", _TEXTS, _TOKENS, "text preprocessor"),
        ("default", _TOKENS, _ENCODED, "text encoder"),
        ("default", _IMAGES, _VECTORS, "image"),
        ("image_feature_vector", _IMAGES, _VECTORS | {"mid": ("float32", (-1, 2, 2, 8))}, "image"),
        ("image_classification", _IMAGES, _VECTORS, "image"),
    ],
)
def test_common_signatures(name: str, inputs: dict, outputs: dict, kind: str, tmp_path: Path):
    module = _module_with(tmp_path / "m", {name: (inputs, outputs)})
    found = _named(check(module, run=False), "common-signatures")
    assert (found.outcome, found.why) == ("pass", f"{name} ({kind})")


@pytest.mark.parametrize(
    ("inputs", "outputs", "why"),
    [
        (
            _TEXTS,
            {"vectors": _VECTORS["default"]},
            "there is no output default (float32[batch, dim])",
        ),
        (_TEXTS, {"default": ("float64", (-1, 4))}, "default is float64[?, 4], not float32[batch"),
        (_TEXTS, {"default": ("float32", (-1, -1))}, "default is float32[?, ?], not float32[batch"),
        (_TEXTS, {"default": ("float32", (-1,))}, "default is float32[?], not"),
        ({"text": ("string", (-1, 1))}, _VECTORS, "text is string[?, 1], not string[batch]"),
        (_TEXTS, {"input_mask": ("int32", (-1, -1))}, "there is no output input_word_ids"),
        (_TOKENS, _VECTORS, "there is no output pooled_output"),
        ({"pixels": _IMAGES["images"]}, _VECTORS, "there is no input images"),
        ({"images": ("float32", (-1, 8, 8, 1))}, _VECTORS, "not float32[batch, ?, ?, 3]"),
        (_IMAGES | {"size": ("int32", ())}, _VECTORS, "there is another input, size"),
    ],
)
def test_signatures_that_are_not_the_common_ones(
    inputs: dict, outputs: dict, why: str, tmp_path: Path
):
    module = _module_with(tmp_path / "m", {"default": (inputs, outputs)})
    assert why in _failures(module)["common-signatures"]


def test_signatures_for_neither_text_nor_images(tmp_path: Path) -> None:
    numbers = {"x": ("float32", (-1, 4))}
    tokens = {"ids": ("int32", (-1, -1))}
    module = _module_with(
        tmp_path / "m", {"default": (numbers, _VECTORS), "serving_default": (_TEXTS, tokens)}
    )
    found = _named(check(module, run=False), "common-signatures")
    assert found.outcome == "not-applicable"


def test_a_text_signature_that_nobody_looks_for(tmp_path: Path) -> None:
    module = _module_with(tmp_path / "m", {"encode": (_TEXTS, _VECTORS)})
    assert "only encode" in _failures(module)["common-signatures"]


def test_a_fixed_batch_is_named(tmp_path: Path) -> None:
    one = {"default": ("float32", (1, 4))}
    labels: dict = {"labels": ("string", (10,))}
    module = _module_with(
        tmp_path / "m",
        {
            "default": (_TEXTS, one),
            "labels": ({}, labels),
            "scalar": ({"n": ("int32", ())}, labels),
        },
    )
    assert _failures(module)["batch-dimension"] == (
        "only one batch size is taken: default: output default is float32[1, 4]"
    )


# --- Assets --------------------------------------------------------------------------------------


def test_a_missing_asset(text_module_dir: Path, tmp_path: Path) -> None:
    copytree(text_module_dir, tmp_path / "m")
    (tmp_path / "m" / "assets" / "vocabulary.txt").unlink()
    assert _failures(tmp_path / "m") == {"assets": "'vocabulary.txt' is not in assets"}


@pytest.mark.parametrize("module_format", ["saved_model"], indirect=True, scope="session")
def test_a_module_that_cannot_be_loaded(text_module_dir: Path, tmp_path: Path) -> None:
    copytree(text_module_dir, tmp_path / "m")
    (tmp_path / "m" / "assets" / "vocabulary.txt").unlink()
    hermetic = _named(check(tmp_path / "m"), "hermetic")
    assert hermetic.outcome == "fail"
    assert "a copy in another place does not run" in hermetic.why


@pytest.mark.parametrize("name", ["../saved_model.pb", "/etc/passwd", "../assets-2/v.txt"])
def test_an_asset_outside(
    name: str, text_module_dir: Path, module_format: ModuleFormat, tmp_path: Path
) -> None:
    def change(saved_model: Any) -> None:
        from tensorboard.compat.proto.meta_graph_pb2 import AssetFileDef

        for graph in saved_model.meta_graphs:
            for asset in graph.asset_file_def:
                asset.filename = name
            if module_format == "tf1_hub":
                [packed] = graph.collection_def["saved_model_assets"].any_list.value
                packed.value = AssetFileDef(filename=name).SerializeToString()

    module = _changed(text_module_dir, tmp_path / "m", change)
    assert f"{name!r} points outside of assets" in _failures(module)["assets"]


def test_an_asset_that_is_a_link_to_the_outside(text_module_dir: Path, tmp_path: Path) -> None:
    copytree(text_module_dir, tmp_path / "m")
    vocabulary = tmp_path / "m" / "assets" / "vocabulary.txt"
    vocabulary.rename(tmp_path / "elsewhere.txt")
    vocabulary.symlink_to(tmp_path / "elsewhere.txt")
    assert "points outside" in _failures(tmp_path / "m")["assets"]


def test_a_file_that_is_read_but_is_no_asset(text_module_dir: Path, tmp_path: Path) -> None:
    """What running a copy does not notice on the machine where the file still is."""

    def change(saved_model: Any) -> None:
        for graph in saved_model.meta_graphs:
            graph.ClearField("asset_file_def")
            graph.collection_def.pop("saved_model_assets", None)
            path = graph.graph_def.node.add(name="path", op="Const")
            path.attr["value"].tensor.string_val.append(b"/home/ann/words.txt")
            same = graph.graph_def.node.add(name="same", op="Identity", input=["path"])
            graph.graph_def.node.add(name="text", op="ReadFile", input=[f"{same.name}:0"])

    module = _changed(text_module_dir, tmp_path / "m", change)
    assert "'/home/ann/words.txt', which is not an asset" in _failures(module)["assets"]


# --- TF1 hub format ------------------------------------------------------------------------------


def _without(*names: str) -> Callable[[Any], None]:
    def change(saved_model: Any) -> None:
        for name in names:
            _train_graph(saved_model).collection_def.pop(name)

    return change


def _not_in_training(saved_model: Any) -> None:
    graph = _train_graph(saved_model)
    graph.collection_def.pop("update_ops")
    for normalized in graph.graph_def.node:
        if normalized.op == "FusedBatchNormV3":
            normalized.attr["is_training"].b = False


def _into_a_function(saved_model: Any) -> None:
    """Batch normalization inside of a function that is called."""
    _not_in_training(saved_model)
    graph = _train_graph(saved_model)
    function = graph.graph_def.library.function.add()
    function.signature.name = "layer"
    function.node_def.add(name="norm", op="FusedBatchNormV3")
    graph.graph_def.node.add(name="call", op="PartitionedCall").attr["f"].func.name = "layer"


def _plain_batch_norm(saved_model: Any) -> None:
    _not_in_training(saved_model)
    nodes = _train_graph(saved_model).graph_def.node
    nodes.add(name="bn/moving_mean", op="VarHandleOp")
    nodes.add(name="model/bn/moments/mean", op="Mean")


def _layer_norm(saved_model: Any) -> None:
    _not_in_training(saved_model)
    nodes = _train_graph(saved_model).graph_def.node
    nodes.add(name="bn/moving_mean", op="VarHandleOp")
    nodes.add(name="model/ln/moments/mean", op="Mean")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_without("regularization_losses"), {"regularization": "REGULARIZATION_LOSSES"}),
        (_without("update_ops"), {"update-ops": "UPDATE_OPS is empty"}),
        (_not_in_training, {}),
        (_into_a_function, {"update-ops": "norm is trained by the batch"}),
        (_plain_batch_norm, {"update-ops": "bn is trained by the batch"}),
        (_layer_norm, {}),
        (
            lambda saved_model: saved_model.meta_graphs.remove(_train_graph(saved_model)),
            {"train-tags": "no variant tagged train, only {}"},
        ),
    ],
)
@pytest.mark.parametrize("module_format", ["tf1_hub"], indirect=True, scope="session")
def test_train_variants_that_lack_something(
    change: Callable[[Any], object],
    expected: dict[str, str],
    image_module_dir: Path,
    tmp_path: Path,
) -> None:
    failures = _failures(_changed(image_module_dir, tmp_path / "m", change))
    assert failures.keys() == expected.keys()
    assert all(why in failures[name] for name, why in expected.items())


@pytest.mark.parametrize("module_format", ["tf1_hub"], indirect=True, scope="session")
def test_without_weights_there_is_nothing_to_train(text_module_dir: Path, tmp_path: Path) -> None:
    def change(saved_model: Any) -> None:
        saved_model.meta_graphs.remove(_train_graph(saved_model))
        saved_model.meta_graphs[0].collection_def.pop("trainable_variables")

    report = check(_changed(text_module_dir, tmp_path / "m", change), run=False)
    assert report.passed
    assert _named(report, "train-tags").outcome == "not-applicable"


# --- TF2 SavedModel ------------------------------------------------------------------------------


def _drop(name: str) -> Callable[[Any], None]:
    def change(saved_model: Any) -> None:
        children = _children(saved_model)
        children.remove(next(child for child in children if child.local_name == name))

    return change


def _keep_traces(training: bool) -> Callable[[Any], None]:
    def change(saved_model: Any) -> None:
        from hub_tfx.module.functions import call_traces

        graph = saved_model.meta_graphs[0]
        [node] = [child.node_id for child in _children(saved_model) if child.local_name == CALL]
        function = graph.object_graph_def.nodes[node].function
        kept = [
            name
            for name, trace in zip(function.concrete_functions, call_traces(graph), strict=True)
            if trace.arguments["training"] is training
        ]
        function.concrete_functions[:] = kept

    return change


def _without_training(saved_model: Any) -> None:
    graph = saved_model.meta_graphs[0]
    [node] = [child.node_id for child in _children(saved_model) if child.local_name == CALL]
    spec = graph.object_graph_def.nodes[node].function.function_spec
    names = spec.fullargspec.named_tuple_value.values[0].value.list_value.values
    for name in names:
        if name.string_value == "training":
            name.string_value = "mask"


@pytest.mark.parametrize(
    ("change", "name", "why"),
    [
        (_drop(CALL), "callable", "it has no __call__"),
        (_keep_traces(False), "callable", "not traced for training=True"),
        (_keep_traces(True), "callable", "not traced for training=False"),
        (_without_training, "callable", "takes no argument training"),
        (_drop("variables"), "saved-attributes", "it was saved without variables"),
        (_drop("regularization_losses"), "saved-attributes", "without regularization_losses"),
    ],
)
@pytest.mark.parametrize("module_format", ["saved_model"], indirect=True, scope="session")
def test_objects_that_lack_something(
    change: Callable[[Any], object], name: str, why: str, text_module_dir: Path, tmp_path: Path
) -> None:
    failures = _failures(_changed(text_module_dir, tmp_path / "m", change))
    assert failures.keys() == {name}
    assert why in failures[name]


# --- Running a copy ------------------------------------------------------------------------------


def test_a_module_that_takes_too_long(tmp_path: Path) -> None:
    report = check(minimal_module(tmp_path / "m"), timeout_s=0.05)
    assert "it was not done within 0.05 s" in _named(report, "hermetic").why


def test_the_graph_that_is_named_is_the_one_that_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(name: str, arguments: list[str], *_: object) -> dict[str, Any]:
        return {"passed": True, "why": str(json.loads(arguments[1])["tags"])}

    monkeypatch.setattr(hermetic, "run_child", found)
    report = check(minimal_module(tmp_path / "m"), tags=["serve"])
    assert _named(report, "hermetic").why == "a copy in another place runs: ['serve']"


def test_a_module_that_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    def killed(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, -signal.SIGSEGV, b"", b"")

    monkeypatch.setattr(child.subprocess, "run", killed)
    passed, why = hermetic.run_moved(minimal_module(tmp_path / "m"), 1)
    assert (passed, why) == (False, "it ended the process with SIGSEGV")


@pytest.mark.parametrize("module_format", ["saved_model"], indirect=True, scope="session")
def test_every_signature_loads_where_the_packages_that_it_needs_are_imported(
    text_module_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "imported"
    (tmp_path / "my_ops.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")  # As `python -m` has it.
    names = list(inspect(text_module_dir).signatures)
    passed, why = hermetic.load_moved(text_module_dir, names, 600, ["my_ops"])
    assert (passed, why) == (True, f"it loads with {', '.join(names)}")
    assert marker.exists()


@pytest.mark.parametrize("module_format", ["saved_model"], indirect=True, scope="session")
def test_a_signature_or_a_package_that_is_missing_is_named(text_module_dir: Path) -> None:
    from hub_tfx.module.check.try_out import try_out

    with pytest.raises(SignatureError, match="no signature 'other'; it has"):
        try_out(str(text_module_dir), ["__call__", "other"])
    with pytest.raises(ConfigError, match=r"the package no_such_ops .* cannot be imported"):
        try_out(str(text_module_dir), imports=["no_such_ops"])


@pytest.mark.parametrize(
    ("info", "shape", "dtype"),
    [
        (("string", (None,)), (2,), "string"),
        (("float32", (None, None, None, 3)), (2, 224, 224, 3), "float32"),
        (("float32", (3, 8, 8, 3)), (3, 8, 8, 3), "float32"),
        (("int32", (None, None)), (2, 8), "int32"),
        (("bool", ()), (), "bool"),
        (("float16", None), (2,), "float16"),
        (("string", (None, None), "sparse"), (2, 8), "string"),
        (("int64", (None, None), "ragged"), (2, 8), "int64"),
    ],
)
def test_examples_fit_their_signature(info: tuple, shape: tuple, dtype: str) -> None:
    from hub_tfx.module.check.try_out import example
    from hub_tfx.module.spec import TensorInfo

    made = example(TensorInfo(*info))
    assert tuple(made.shape) == shape
    assert made.dtype.name == dtype


# --- What may do harm ----------------------------------------------------------------------------


@pytest.fixture
def never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where a module is run."""

    def run(*_: object) -> tuple[bool, str]:
        raise AssertionError("it is run")

    monkeypatch.setattr("hub_tfx.module.check.checks.run_moved", run)


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("name", ["graph", "rows", "asset outside", "save for nobody"])
def test_what_is_found_bad_is_not_run(name: str, tmp_path: Path) -> None:
    report = check(build(tmp_path / "m", name))
    ops = _named(report, "safe-ops")
    assert ops.outcome == "fail"
    assert HOSTILE[name].node in ops.why
    assert ops.fix.startswith("export it without them; ")
    hermetic = _named(report, "hermetic")
    assert hermetic.outcome == "not-applicable"
    assert "may do harm" in hermetic.why


@pytest.mark.usefixtures("never_run")
@pytest.mark.parametrize("module_format", ["saved_model"], indirect=True, scope="session")
def test_an_asset_that_is_a_link_is_not_followed_by_running_it(
    text_module_dir: Path, tmp_path: Path
) -> None:
    copytree(text_module_dir, tmp_path / "m")
    vocabulary = tmp_path / "m" / "assets" / "vocabulary.txt"
    vocabulary.unlink()
    vocabulary.symlink_to("/etc/passwd")
    report = check(tmp_path / "m")
    assert _named(report, "assets").outcome == "fail"
    assert _named(report, "hermetic").outcome == "not-applicable"


def test_what_is_allowed_by_name_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_tfx.module.check.checks.run_moved", lambda *_: (True, "ran"))
    module = build(tmp_path / "m", "graph")
    for policy in (SafetyPolicy(allow_ops=("WriteFile",)), SafetyPolicy("off")):
        report = check(module, policy=policy)
        assert _named(report, "hermetic").outcome == "pass"
    assert _named(report, "safe-ops").outcome == "not-applicable"


def test_a_thousand_normalizations_and_a_long_chain_are_checked_at_once(tmp_path: Path) -> None:
    """What was quadratic: layers against names, and readers against a chain of Identity."""
    saved = hostile_modules.saved_model()
    graph = saved.meta_graphs[0]
    graph.meta_info_def.tags.append("train")
    body = graph.graph_def
    constant(body, "same0", b"x")
    for number in range(3000):
        node(body, "VarHandleOp", f"layer{number}/moving_mean")
        node(body, "Identity", f"same{number + 1}", [f"same{number}"])
        node(body, "ReadFile", f"read{number}", [f"same{number + 1}"])
    node(body, "Mean", "outer/layer7/moments/mean")
    module = write(tmp_path / "m", saved)
    (module / "tfhub_module.pb").write_bytes(b"\x08\x03")
    with must_end(60):
        report = check(module, run=False)
    assert "layer7 is trained by the batch" in _named(report, "update-ops").why
    assert "the graph reads 'x'" in _named(report, "assets").why
