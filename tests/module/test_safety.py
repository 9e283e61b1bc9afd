"""safety: what is refused before anything is loaded, with op and node, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hostile_modules import (
    HOSTILE,
    OTHER_GRAPHS,
    build,
    build_with_other_graph,
    call,
    constant,
    function,
    node,
    saved_model,
    write,
)

from hub_tfx import testing
from hub_tfx.errors import ConfigError, NotAModuleError, UnsafeModuleError
from hub_tfx.module.ops import op_list
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.safety import Verdict, judge

STRICT = SafetyPolicy("strict")


def findings(path: Path) -> list[tuple[str, str, str, str]]:
    return [(f.rule, f.op, f.node, f.function) for f in judge(path).findings]


# --- What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_every_way_in_is_found_with_its_op_and_node(name: str, tmp_path: Path) -> None:
    hostile = HOSTILE[name]
    verdict = judge(build(tmp_path / "module", name))
    assert not verdict.ok
    wanted = {k: getattr(hostile, k) for k in ("rule", "op", "node", "function")}
    wanted = {key: value for key, value in wanted.items() if value}
    assert any(
        all(getattr(finding, key) == value for key, value in wanted.items())
        for finding in verdict.findings
    ), verdict.findings
    with pytest.raises(UnsafeModuleError) as refused:
        STRICT.admit("the handle", verdict, is_remote=True)
    assert str(refused.value).startswith("the handle: refused: ")
    assert (hostile.op or hostile.rule) in str(refused.value)


@pytest.mark.parametrize("name", OTHER_GRAPHS)
def test_every_graph_is_looked_at(name: str, tmp_path: Path) -> None:
    module = build_with_other_graph(tmp_path / "module", name)
    assert findings(module) == [("op", "WriteFile", "evil", "")]


def test_there_are_more_than_thirty_of_them() -> None:
    assert len(HOSTILE) + len(OTHER_GRAPHS) > 60


def test_text_beside_the_binary_file_is_looked_at(tmp_path: Path) -> None:
    module = write(tmp_path / "module", saved_model())
    text = build(tmp_path / "text", "text") / "saved_model.pbtxt"
    (module / "saved_model.pbtxt").write_bytes(text.read_bytes())
    [finding] = judge(module).findings
    assert (finding.op, finding.graph) == ("WriteFile", "{serve} of saved_model.pbtxt")


def test_a_file_that_other_versions_load_is_refused(tmp_path: Path) -> None:
    module = write(tmp_path / "module", saved_model())
    (module / "saved_model.cpb").write_bytes(b"chunks")
    assert [finding.rule for finding in judge(module).findings] == ["unread"]


def test_there_is_an_end_of_what_is_told(tmp_path: Path) -> None:
    saved = saved_model()
    for number in range(300):
        node(saved.meta_graphs[0].graph_def, f"Evil{number}", "n" * 10_000)
    verdict = judge(write(tmp_path / "module", saved))
    assert len(verdict.findings) == 201
    assert verdict.findings[-1].why == "100 more findings than the 200 that are told"
    allowed = SafetyPolicy("strict", allow_ops=tuple(f"Evil{n}" for n in range(300)))
    assert allowed.refused(verdict) == verdict.findings[-1:]
    assert len(verdict.findings[0].node) < 250


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    saved = saved_model()
    node(saved.meta_graphs[0].graph_def, "Evil\x1b[2J", "\x1b[2J\n")
    [finding] = judge(write(tmp_path / "module", saved)).findings
    assert finding.op == r"Evil\x1b[2J"
    assert finding.node == r"\x1b[2J\n"


def test_an_op_that_occurs_often_is_one_finding(tmp_path: Path) -> None:
    saved = saved_model()
    for number in range(5):
        node(saved.meta_graphs[0].graph_def, "ReadFile", f"evil{number}")
    [finding] = judge(write(tmp_path / "module", saved)).findings
    assert (finding.node, finding.count) == ("evil0", 5)
    assert "(5 times)" in str(finding)


def test_what_is_not_a_module_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(NotAModuleError, match="not a module"):
        judge(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 10)
    with pytest.raises(NotAModuleError, match="damaged"):
        judge(tmp_path)


# --- What is not ---------------------------------------------------------------------------------


def test_our_own_modules_are_in_order(text_module_dir: Path, image_module_dir: Path) -> None:
    for path in (text_module_dir, image_module_dir):
        verdict = judge(path)
        assert verdict.ok, verdict.findings
        assert verdict.nodes > 50
    assert judge(text_module_dir).version == op_list().version


def test_the_least_module_is_in_order(tmp_path: Path) -> None:
    assert judge(testing.minimal_module(tmp_path / "module")).ok
    assert judge(write(tmp_path / "hostile", saved_model())).ok


@pytest.mark.parametrize("value", [b"", b"stderr", b"stdout", b"log(info)"])
def test_printing_is_allowed_where_people_see_it(value: bytes, tmp_path: Path) -> None:
    saved = saved_model()
    body = saved.meta_graphs[0].graph_def
    node(body, "PrintV2", "print").attr["output_stream"].s = value
    node(body, "PrintV2", "default")
    node(body, "DecodeProtoV2", "decode").attr["descriptor_source"].s = b"bytes://abc"
    assert judge(write(tmp_path / "module", saved)).ok


def _with_asset(graph: Any) -> None:
    constant(graph.graph_def, "path", b"")
    graph.asset_file_def.add(filename="words.txt").tensor_info.name = "path:0"


def test_a_table_of_an_asset_is_allowed_wherever_its_name_goes(tmp_path: Path) -> None:
    saved = saved_model()
    graph = saved.meta_graphs[0]
    op = "InitializeTableFromTextFileV2"
    _with_asset(graph)
    body = graph.graph_def
    node(body, "Identity", "same", ["path"])
    node(body, op, "direct", ["text", "same"])
    node(function(graph, "inner", ["table", "path"]), op, "read", ["table", "path"])
    call(function(graph, "outer", ["path"]), "through", "inner", ["path", "path"])
    call(body, "called", "outer", ["path"])
    node(body, "VarHandleOp", "kept")
    node(body, "AssignVariableOp", "assign", ["kept", "path"])
    node(body, "ReadVariableOp", "value", ["kept", "^assign"])
    call(body, "kept_called", "outer", ["value"])
    assert findings(write(tmp_path / "module", saved)) == []


def test_checkpoints_are_allowed_where_the_saver_leads(tmp_path: Path) -> None:
    saved = saved_model()
    graph = saved.meta_graphs[0]
    body = graph.graph_def
    node(body, "Placeholder", "file")
    node(function(graph, "saves", ["file"]), "SaveV2", "save", ["file"])
    call(body, "save", "saves", ["file"])
    node(body, "RestoreV2", "restored", ["file"])
    node(body, "NoOp", "restore", ["^restored"])
    saver = graph.saver_def
    saver.filename_tensor_name, saver.save_tensor_name = "file:0", "save:0"
    saver.restore_op_name = "restore"
    assert findings(write(tmp_path / "module", saved)) == []


def test_functions_that_call_each_other_without_end_are_looked_at_once(tmp_path: Path) -> None:
    saved = saved_model()
    graph = saved.meta_graphs[0]
    for name, called in (("a", "b"), ("b", "a")):
        call(function(graph, name, ["x"]), "again", called, ["x"])
        node(graph.graph_def.library.function[-1], "InitializeTableFromTextFile", "t", ["x", "x"])
    assert judge(write(tmp_path / "module", saved)).ok  # Nobody calls them with anything.


def test_code_that_only_keras_runs_is_a_note(tmp_path: Path) -> None:
    module = write(tmp_path / "module", saved_model())
    (module / "keras_metadata.pb").write_bytes(b'..{"class_name": "Lambda", "config": ...')
    verdict = judge(module)
    assert verdict.ok
    [note] = verdict.notes
    assert "tf.keras.models.load_model runs it" in note


def test_a_verdict_survives_json(tmp_path: Path) -> None:
    verdict = judge(build(tmp_path / "module", "rows"))
    document = json.loads(json.dumps(verdict.to_dict()))
    assert document["ok"] is False
    assert Verdict.from_dict(document) == verdict


# --- The policy ----------------------------------------------------------------------------------


def test_an_op_is_allowed_by_its_name(tmp_path: Path) -> None:
    verdict = judge(build(tmp_path / "module", "function"))
    with pytest.raises(UnsafeModuleError, match="--allow-op ReadFile"):
        STRICT.admit("m", verdict, is_remote=True)
    SafetyPolicy("strict", allow_ops=("ReadFile",)).admit("m", verdict, is_remote=True)


def test_ops_of_a_package_are_allowed_by_the_name_of_the_package(tmp_path: Path) -> None:
    verdict = judge(build(tmp_path / "module", "op of a package"))
    with pytest.raises(UnsafeModuleError, match="needs: --import tensorflow_text"):
        STRICT.admit("m", verdict, is_remote=True)
    SafetyPolicy("strict", imports=("tensorflow_text",)).admit("m", verdict, is_remote=True)
    with pytest.raises(UnsafeModuleError):
        SafetyPolicy("strict", imports=("tensorflow",)).admit("m", verdict, is_remote=True)


def test_an_asset_outside_cannot_be_allowed_by_a_name(tmp_path: Path) -> None:
    verdict = judge(build(tmp_path / "module", "absolute asset"))
    allowing = SafetyPolicy("strict", allow_ops=("", "/etc/passwd"), imports=("",))
    with pytest.raises(UnsafeModuleError, match="allow it: --policy warn"):
        allowing.admit("m", verdict, is_remote=True)


@pytest.mark.parametrize(
    ("given", "variable", "is_remote", "mode"),
    [
        (None, "", True, "strict"),
        (None, "", False, "warn"),
        (None, "off", True, "off"),
        (None, "strict", False, "strict"),
        ("warn", "off", True, "warn"),
    ],
)
def test_what_is_given_wins_over_the_environment_and_that_over_where_a_module_is_from(
    given: Any, variable: str, is_remote: bool, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TFX_POLICY", variable)
    assert SafetyPolicy(given).mode_for(is_remote=is_remote) == mode


def test_a_policy_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TFX_POLICY", "lax")
    with pytest.raises(ConfigError, match="HUB_TFX_POLICY takes strict, warn, off, not 'lax'"):
        SafetyPolicy().mode_for(is_remote=True)
    mode: Any = "Strict"
    with pytest.raises(ConfigError, match="policy takes strict, warn, off, not 'Strict'"):
        SafetyPolicy(mode)
    ops: Any = "ReadFile"
    with pytest.raises(ConfigError, match="allow_ops of a policy takes a list of names"):
        SafetyPolicy(allow_ops=ops)
    for text in ("", "[]", '{"modes": "off"}'):
        with pytest.raises(ConfigError, match="a policy"):
            SafetyPolicy.from_json(text)


def test_a_policy_survives_json() -> None:
    policy = SafetyPolicy("warn", ("ReadFile",), ("tensorflow_text",))
    assert SafetyPolicy.from_json(policy.to_json()) == policy


def test_a_warning_is_one_line_and_nothing_is_told_of_what_is_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SafetyPolicy("warn").admit("m", judge(build(tmp_path / "bad", "graph")), is_remote=False)
    [record] = caplog.records
    assert "m: loading it runs what is on no list" in record.getMessage()
    caplog.clear()
    for mode in ("strict", "warn", "off"):
        fine = judge(write(tmp_path / mode, saved_model()))
        SafetyPolicy(mode).admit("m", fine, is_remote=True)  # type: ignore[arg-type]
    SafetyPolicy("off").admit("m", judge(tmp_path / "bad"), is_remote=True)
    assert not caplog.records
