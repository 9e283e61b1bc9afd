"""allowed_ops.txt against the ops that TensorFlow has."""

from collections.abc import Iterable
from pathlib import Path

import pytest
import tensorflow as tf
from hostile_modules import node, saved_model, write
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from hub_tfx.module import ops
from hub_tfx.module.ops import op_list
from hub_tfx.module.safety import judge

KINDS = {"allow", "saver", "file", "attribute", "refuse", "package"}


@pytest.fixture(scope="module")
def registry() -> dict[str, op_def_pb2.OpDef]:
    """Every op that this process could run: TensorFlow's, and those of packages it has imported."""
    listed = op_def_pb2.OpList()
    listed.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op for op in listed.op}


def _of_kind(*kinds: str) -> set[str]:
    return {op for op, group in op_list().groups.items() if group.kind in kinds}


def test_no_listed_op_is_one_that_tensorflow_does_not_have(registry: Iterable[str]) -> None:
    assert _of_kind("allow", "saver", "file", "attribute") - set(registry) == set()
    assert _of_kind("refuse") - set(registry) <= {"DebugIdentityV3", "RemoteFusedGraphExecute"}


def test_every_op_of_the_registry_is_allowed_or_refused(
    registry: Iterable[str], tmp_path: Path
) -> None:
    """A graph with each of them: what is not listed is refused, so that a new op is, too."""
    saved = saved_model()
    for op in registry:
        node(saved.meta_graphs[0].graph_def, op, f"node of {op}")
    node(saved.meta_graphs[0].graph_def, "OpOfTensorFlow99", "new")
    refused = set()
    for start in range(0, len(nodes := list(saved.meta_graphs[0].graph_def.node)), 100):
        part = saved_model()
        part.meta_graphs[0].graph_def.node.extend(nodes[start : start + 100])
        verdict = judge(write(tmp_path / str(start), part))
        refused |= {finding.op for finding in verdict.findings if finding.rule != "function"}
    assert "OpOfTensorFlow99" in refused
    assert {*registry, "OpOfTensorFlow99"} - refused == _of_kind("allow", "attribute")


def test_what_the_reasons_promise_is_on_no_list_of_allowed_ops(registry: Iterable[str]) -> None:
    allowed = _of_kind("allow")
    assert not {op for op in allowed if op.startswith("_")}
    words = ("File", "Rpc", "PyFunc", "TPU", "Summary", "Debug", "Collective", "Sql", "Reader")
    odd = {op for op in allowed if any(word in op for word in words)}
    assert odd == {op for op in odd if op.endswith(("Summary", "SummaryV2"))}
    assert not {op for op in odd if op.startswith("Write")}


def test_every_op_with_an_attribute_that_may_name_a_file_was_looked_at(
    registry: dict[str, op_def_pb2.OpDef],
) -> None:
    """By the names of attributes: a new one must be looked at by a person."""
    words = ("file", "path", "folder", "directory", "stream", "source", "address", "url", "target")
    suspects = {
        (op, attribute.name)
        for op in _of_kind("allow")
        for attribute in registry[op].attr
        if attribute.type == "string" and any(word in attribute.name for word in words)
    }
    gradients = {"TensorArrayGrad", "TensorArrayGradV2", "TensorArrayGradV3"}
    assert suspects == {(op, "source") for op in (*gradients, "TensorArrayGradWithShape")}


def test_every_group_has_a_kind_and_a_reason() -> None:
    groups = {*op_list().groups.values(), *op_list().namespaces.values()}
    assert {group.kind for group in groups} == KINDS
    assert all(group.title and group.reason.endswith(".") for group in groups)
    assert all(bool(group.package) == (group.kind == "package") for group in groups)


def test_ops_of_packages_are_known_by_name_or_by_prefix() -> None:
    assert op_list().find("SentencepieceTokenizeOp") is op_list().groups["SentencepieceOp"]
    found = op_list().find("Addons>Gelu")
    assert found is not None
    assert found.package == "tensorflow_addons"
    assert op_list().find("Other>Gelu") is None
    assert op_list().find("Gelu") is None


def test_the_version_changes_with_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = op_list().version
    changed = tmp_path / "allowed_ops.txt"
    changed.write_text(ops._FILE.read_text().replace(" Mul ", " "))
    monkeypatch.setattr(ops, "_FILE", changed)
    op_list.cache_clear()
    try:
        assert op_list().version != before
        changed.write_text("[allow] a: A.\nMul Mul\n")
        op_list.cache_clear()
        with pytest.raises(ValueError, match="Mul stands there twice"):
            op_list()
    finally:
        op_list.cache_clear()


def test_the_list_is_that_of_the_tensorflow_that_it_names() -> None:
    assert f"TensorFlow {tf.__version__};" in ops._FILE.read_text()
