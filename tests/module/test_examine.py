"""Reading a module within limits: what allocates or loops ends the child, and not the reader."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_modules import saved_model, write

from hub_tfx import testing
from hub_tfx.errors import HubTfxError, NotAModuleError, SignatureError, UnsafeModuleError
from hub_tfx.module import limited
from hub_tfx.module.check import check
from hub_tfx.module.examine import examine
from hub_tfx.module.inspect import inspect
from hub_tfx.module.limited import LIMITS, run_limited
from hub_tfx.module.safety import judge


@pytest.fixture(autouse=True)
def examined_here() -> None:
    """Children read the modules."""


MIB = 1 << 20


# What the child runs for tests, by name.


def spin(path: Path) -> dict[str, Any]:
    while True:
        pass


def sleep(path: Path) -> dict[str, Any]:
    time.sleep(60)
    return {}


def grow(path: Path) -> dict[str, Any]:
    return {"size": len(b"x" * (8 << 30))}


def crash(path: Path) -> dict[str, Any]:
    os.abort()


def leave(path: Path) -> dict[str, Any]:
    os._exit(3)


def fail(path: Path) -> dict[str, Any]:
    raise SignatureError(f"{path} has none")


def much(path: Path) -> dict[str, Any]:
    return {"text": "x" * MIB}


def who(path: Path, given: str) -> dict[str, Any]:
    return {"pid": os.getpid(), "given": given, "environment": dict(os.environ)}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return testing.minimal_module(tmp_path / "module")


def _run(module: Path, name: str, **given: Any) -> dict[str, Any]:
    return run_limited(f"{__name__}:{name}", module, **given)


def test_a_child_reads_what_this_process_would(module: Path) -> None:
    examined = examine(module)
    assert examined == examine(module, is_trusted=True)
    assert examined.spec == inspect(module)
    assert examined.verdict == judge(module)


def test_it_is_another_process_without_the_secrets_of_this_one(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TOKEN", "secret")
    found = _run(module, "who", given="x")
    assert found["pid"] != os.getpid()
    assert found["given"] == "x"
    assert "HUB_TOKEN" not in found["environment"]


def test_what_is_small_and_of_this_machine_needs_no_process(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _run(module, "who", given="x", is_trusted=True)["pid"] == os.getpid()
    monkeypatch.setattr(limited, "_SMALL_BYTES", 10)
    assert _run(module, "who", given="x", is_trusted=True)["pid"] != os.getpid()


@pytest.mark.parametrize(
    ("name", "limits", "told"),
    [
        ("spin", replace(LIMITS, cpu_s=1), "more than 1 s of processor time"),
        ("sleep", replace(LIMITS, wall_s=0.5), "more than 0.5 s"),
        ("grow", LIMITS, "more than 320 MiB of memory"),
        ("crash", LIMITS, "more than 320 MiB of memory"),
        ("much", replace(LIMITS, answer_bytes=1000), "its signatures take more than"),
    ],
)
def test_a_limit_is_one_error_that_names_it(
    name: str, limits: limited.Limits, told: str, module: Path
) -> None:
    with pytest.raises(UnsafeModuleError, match=told) as refused:
        _run(module, name, limits=limits)
    assert "do not use it" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_ends_are_errors_as_well(module: Path) -> None:
    with pytest.raises(SignatureError, match="module has none"):
        _run(module, "fail")
    with pytest.raises(HubTfxError, match="ended with 3"):
        _run(module, "leave")


def test_a_file_that_no_reader_takes_is_not_opened(tmp_path: Path) -> None:
    with open(tmp_path / "saved_model.pb", "wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(UnsafeModuleError, match="larger than 2,147,483,647 bytes"):
        examine(tmp_path)


def _field(number: int, content: bytes) -> bytes:
    """A message or text as the field of another message is written."""
    size, encoded = len(content), b""
    while size > 127:
        encoded += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([size]) + content


def test_a_graph_of_empty_nodes_is_given_up_at_a_limit_of_memory(tmp_path: Path) -> None:
    """Six megabytes, which an archive of six kilobytes holds, took 740 MB of the reader."""
    nodes = b"\x0a\x00" * (3 << 20)  # NodeDefs without anything.
    path = write(tmp_path / "module", saved_model())
    (path / "saved_model.pb").write_bytes(_field(2, _field(2, nodes)))
    for read in (examine, lambda path: examine(path, is_trusted=True), check):
        with pytest.raises(UnsafeModuleError, match="MiB of memory"):
            read(path)


def test_what_is_damaged_is_told_as_it_is_in_this_process(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 10)
    for is_trusted in (True, False):
        with pytest.raises(NotAModuleError, match="damaged"):
            examine(tmp_path, is_trusted=is_trusted)
    os.unlink(tmp_path / "saved_model.pb")
    os.mkfifo(tmp_path / "saved_model.pb")
    with pytest.raises(NotAModuleError, match="FIFO"):
        examine(tmp_path)


def test_functions_that_call_each_other_without_end_have_signatures(tmp_path: Path) -> None:
    """Each has a hundred calls of the next two: followed one by one, they have no end."""
    saved = saved_model()
    graph = saved.meta_graphs[0]
    library = graph.graph_def.library
    names = [f"f{n}" for n in range(40)]
    for number, name in enumerate(names):
        added = library.function.add()
        added.signature.name = name
        for argument in ("a", "b"):
            added.signature.input_arg.add(name=argument)
        for step in range(100):
            called = names[(number + 1 + step % 2) % len(names)]
            inner = added.node_def.add(op="PartitionedCall", name=f"n{step}", input=["a", "b"])
            inner.attr["f"].func.name = called
    for function in library.function:
        for number in (0, 1):
            function.arg_attr[number].attr["_user_specified_name"].s = b"x"
    for key in ("k0", "k1"):
        info = graph.signature_def["serving_default"].inputs[key]
        info.name, info.dtype = f"{key}:0", 9
        info.tensor_shape.dim.add(size=-1)
    objects = graph.object_graph_def
    root, signatures, concrete = (objects.nodes.add() for _ in range(3))
    root.children.add(local_name="signatures", node_id=1)
    signatures.children.add(local_name="serving_default", node_id=2)
    concrete.bare_concrete_function.concrete_function_name = "f0"
    concrete.bare_concrete_function.argument_keywords.extend(["k0", "k1"])
    assert "k0" in inspect(write(tmp_path / "module", saved)).signatures["serving_default"].inputs
