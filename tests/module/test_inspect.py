"""inspect and ModuleSpec: what is known of a module without running it."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import NotAModuleError, SignatureError
from hub_tfx.module.inspect import call_arguments, inspect
from hub_tfx.module.proto import saved_model_class
from hub_tfx.module.spec import (
    CALL,
    GraphVariant,
    ModuleFormat,
    ModuleSpec,
    SignatureSpec,
    TensorInfo,
)
from hub_tfx.testing import minimal_module

_INFO = st.builds(
    TensorInfo,
    dtype=st.sampled_from(["float32", "string", "int64"]),
    shape=st.none() | st.lists(st.none() | st.integers(0, 1 << 40), max_size=4).map(tuple),
    kind=st.sampled_from(["dense", "sparse"]),
) | st.builds(
    TensorInfo,
    dtype=st.just("int64"),
    shape=st.just((None, None, None)),
    kind=st.just("ragged"),
    ragged_rank=st.integers(1, 2),
    row_splits=st.sampled_from(["int32", "int64"]),
)
_INFOS = st.dictionaries(st.text(max_size=8), _INFO, max_size=3)
_SIGNATURES = st.dictionaries(
    st.text(max_size=8), st.builds(SignatureSpec, _INFOS, _INFOS), max_size=3
)
_VARIANT = st.builds(
    GraphVariant, st.lists(st.text(max_size=5), max_size=2).map(tuple), _SIGNATURES
)
_SPEC = st.builds(
    ModuleSpec,
    st.sampled_from(["tf1_hub", "saved_model"]),
    st.lists(_VARIANT, min_size=1, max_size=3).map(tuple),
    st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
)


@given(spec=_SPEC)
def test_a_spec_survives_json(spec: ModuleSpec) -> None:
    assert ModuleSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("change", [{"more": 1}, {"format": None}, {"tags": None}])
def test_json_that_is_no_spec(change: dict[str, Any], tmp_path: Path) -> None:
    spec = inspect(minimal_module(tmp_path / "m")).to_dict() | {"image_size": [2, 2]}
    ModuleSpec.from_json(json.dumps(spec))
    document = spec | change
    document = {key: value for key, value in document.items() if value is not None}
    with pytest.raises(ValueError, match="not a module spec"):
        ModuleSpec.from_json(json.dumps(document))


def test_a_real_text_module(text_module_dir: Path, module_format: ModuleFormat) -> None:
    spec = inspect(text_module_dir)
    assert spec.format == module_format
    assert spec.default_signature == {"tf1_hub": "default", "saved_model": CALL}[module_format]
    [text] = spec.get_input_info_dict().values()
    assert str(text) == "string[?]"
    assert {k: str(v) for k, v in spec.get_output_info_dict().items()} == {
        "default": "float32[?, 4]"
    }
    assert ModuleSpec.from_json(spec.to_json()) == spec


def test_a_real_image_module(image_module_dir: Path, module_format: ModuleFormat) -> None:
    spec = inspect(image_module_dir)
    [images] = spec.signature().inputs.values()
    assert (images.dtype, images.shape) == ("float32", (None, 8, 8, 3))
    if module_format == "saved_model":
        assert call_arguments(image_module_dir)["training"] is False


def test_what_is_asked_of_a_spec(tmp_path: Path) -> None:
    spec = inspect(minimal_module(tmp_path / "m"))
    assert spec.get_tags() == [{"serve"}]
    assert spec.get_signature_names() == ["serving_default"]
    assert spec.get_input_info_dict("serving_default", ["serve"])["text"].get_shape() == (None,)
    with pytest.raises(SignatureError, match=r"no signature 'x'; it has serving_default"):
        spec.signature("x")
    with pytest.raises(SignatureError, match=r"no tag set \{train\}; it has \{serve\}"):
        spec.signature(tags={"train"})


def _change(module: Path, change: Callable[[Any], object]) -> Path:
    saved_model: Any = saved_model_class()()
    saved_model.ParseFromString((module / "saved_model.pb").read_bytes())
    change(saved_model)
    (module / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return module


def test_a_saved_model_in_text_form(tmp_path: Path) -> None:
    module = minimal_module(tmp_path / "m")
    before = inspect(module)
    saved_model: Any = saved_model_class()()
    saved_model.ParseFromString((module / "saved_model.pb").read_bytes())
    (module / "saved_model.pb").unlink()
    (module / "saved_model.pbtxt").write_text(text_format.MessageToString(saved_model))
    assert inspect(module) == before
    (module / "saved_model.pbtxt").write_bytes(b"meta_graphs { \xff")
    with pytest.raises(NotAModuleError, match="damaged"):
        inspect(module)


def test_sparse_inputs_and_unknown_ranks(tmp_path: Path) -> None:
    def change(saved_model: Any) -> None:
        signature = saved_model.meta_graphs[0].signature_def["serving_default"]
        signature.inputs["text"].coo_sparse.values_tensor_name = "values:0"
        signature.outputs["default"].tensor_shape.Clear()
        signature.outputs["default"].tensor_shape.unknown_rank = True

    signature = inspect(_change(minimal_module(tmp_path / "m"), change)).signature()
    assert signature.inputs["text"].is_sparse
    assert str(signature.outputs["default"]) == "float32[?]"
    assert signature.outputs["default"].shape is None


@pytest.mark.parametrize(
    ("info", "is_image"),
    [
        (TensorInfo("float32", (None, 224, 224, 3)), True),
        (TensorInfo("uint8", (1, None, None, None)), True),
        (TensorInfo("float32", (None, 8, 8, 1)), True),
        (TensorInfo("float32", (None, 7, 7, 1280)), False),
        (TensorInfo("int32", (None, 8, 8, 3)), True),
        (TensorInfo("int8", (None, 8, 8, 3)), False),
        (TensorInfo("float32", (8, 8, 3)), False),
        (TensorInfo("float32", None), False),
        (TensorInfo("float32", (None, 8, 8, 3), "ragged"), False),
    ],
)
def test_an_input_for_images_is_known_by_dtype_and_shape(info: TensorInfo, is_image: bool) -> None:
    assert info.is_image is is_image


def _dangling_call(saved_model: Any) -> None:
    node = saved_model.meta_graphs[0].object_graph_def.nodes.add()
    node.children.add(local_name="__call__", node_id=99)


def _missing_function(saved_model: Any) -> None:
    graph = saved_model.meta_graphs[0].object_graph_def
    graph.nodes.add().children.add(local_name="__call__", node_id=1)
    graph.nodes.add().function.concrete_functions.append("not there")


def _strange_dtype(saved_model: Any) -> None:
    saved_model.meta_graphs[0].signature_def["serving_default"].inputs["text"].dtype = 999


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda saved_model: saved_model.meta_graphs.pop(), "holds no graph"),
        (lambda saved_model: saved_model.meta_graphs[0].signature_def.clear(), "no signature"),
        (_dangling_call, "damaged"),
        (_missing_function, "damaged"),
        (_strange_dtype, "damaged"),
    ],
)
def test_graphs_that_are_no_module(
    change: Callable[[Any], object], why: str, tmp_path: Path
) -> None:
    module = _change(minimal_module(tmp_path / "m"), change)
    with pytest.raises(NotAModuleError, match=why) as error:
        inspect(module)
    assert str(module) in str(error.value)


def test_directories_that_are_no_module(tmp_path: Path) -> None:
    with pytest.raises(NotAModuleError, match="gone is not a directory"):
        inspect(tmp_path / "gone")
    with pytest.raises(NotAModuleError, match=r"does not hold saved_model\.pb"):
        inspect(tmp_path)
    module = minimal_module(tmp_path / "m")
    (module / "tfhub_module.pb").write_bytes(b"\x08\x04")
    with pytest.raises(NotAModuleError, match=r"format that TF Hub 0\.15 does not know"):
        inspect(module)
    with pytest.raises(NotAModuleError, match="no callable object"):
        call_arguments(minimal_module(tmp_path / "n"))
    (tmp_path / "odd" / "saved_model.pb").mkdir(parents=True)
    with pytest.raises(NotAModuleError, match="cannot be read"):
        inspect(tmp_path / "odd")


def test_a_damaged_graph_is_read_or_named(text_module_dir: Path, tmp_path: Path) -> None:
    """Cut and flipped in many places: a spec, or NotAModuleError, and nothing else."""
    data = (text_module_dir / "saved_model.pb").read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    step = max(1, len(data) // 60)
    for at in range(0, len(data), step):
        flipped = bytearray(data)
        flipped[at] ^= 1 << at % 8
        for bytes_ in (data[:at], bytes(flipped)):
            (broken / "saved_model.pb").write_bytes(bytes_)
            with suppress(NotAModuleError):
                inspect(broken)
