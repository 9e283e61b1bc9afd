"""Two modules: what is different, and whether one can take the place of the other."""

from dataclasses import replace
from pathlib import Path

import pytest

from hub_tfx.module.diff import ModuleDiff, compare
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo
from hub_tfx.testing import minimal_module

TEXT = TensorInfo("string", (None,))
VECTOR = TensorInfo("float32", (None, 512))
EMBED = SignatureSpec({"text": TEXT}, {"default": VECTOR})
FLAG = {"training": TensorInfo("bool", ())}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return minimal_module(tmp_path_factory.mktemp("diff") / "module")


def diff_of(directory: Path, left: ModuleSpec, right: ModuleSpec) -> ModuleDiff:
    """The difference of two modules that have the same files."""
    return compare(
        ResolvedModule("left", directory, "1" * 64, left),
        ResolvedModule("right", directory, "2" * 64, right),
    )


def spec_of(*signatures: SignatureSpec, **variants: SignatureSpec) -> ModuleSpec:
    first = GraphVariant(("serve",), {f"sig{n}": s for n, s in enumerate(signatures)})
    others = [GraphVariant((tag,), {"sig0": s}) for tag, s in variants.items()]
    return ModuleSpec("saved_model", (first, *others))


def with_input(**infos: TensorInfo) -> SignatureSpec:
    return SignatureSpec(infos, EMBED.outputs)


def with_output(**infos: TensorInfo) -> SignatureSpec:
    return SignatureSpec(EMBED.inputs, infos)


def test_the_same_bytes_are_identical(directory: Path) -> None:
    module = ResolvedModule.of_directory(directory)
    diff = compare(module, module)
    assert diff.verdict == "identical: the same bytes"
    assert (diff.changes, diff.files) == ((), ())


def test_the_same_signatures_are_drop_in(directory: Path) -> None:
    assert diff_of(directory, spec_of(EMBED), spec_of(EMBED)).verdict == (
        "drop-in: same inputs, 512→512"
    )
    two = spec_of(EMBED, EMBED)
    assert diff_of(directory, two, two).verdict == "drop-in: same inputs, same outputs"


COMPATIBLE = {
    "a wider input": (with_input(text=TensorInfo("string", (8,))), EMBED),
    "an input of any rank": (EMBED, with_input(text=TensorInfo("string", None))),
    "another output": (EMBED, with_output(default=VECTOR, more=VECTOR)),
    "a narrower output": (with_output(default=TensorInfo("float32", None)), EMBED),
    "a flag for training": (EMBED, with_input(text=TEXT, **FLAG)),
    "no flag for training": (with_input(text=TEXT, **FLAG), EMBED),
}
BREAKING = {
    "a narrower input": (EMBED, with_input(text=TensorInfo("string", (8,)))),
    "another rank": (EMBED, with_input(text=TensorInfo("string", (None, None)))),
    "another dtype of input": (EMBED, with_input(text=TensorInfo("int32", (None,)))),
    "another kind": (EMBED, with_input(text=TensorInfo("string", (None,), "sparse"))),
    "another input": (EMBED, with_input(text=TEXT, more=TEXT)),
    "an input less": (with_input(text=TEXT, more=TEXT), EMBED),
    "a renamed input": (EMBED, with_input(texts=TEXT)),
    "another dimension": (EMBED, with_output(default=TensorInfo("float32", (None, 256)))),
    "an unknown dimension": (EMBED, with_output(default=TensorInfo("float32", (None, None)))),
    "an output of any rank": (EMBED, with_output(default=TensorInfo("float32", None))),
    "another dtype of output": (EMBED, with_output(default=TensorInfo("float16", (None, 512)))),
    "an output less": (with_output(default=VECTOR, more=VECTOR), EMBED),
    "another ragged rank": (
        with_input(text=TensorInfo("string", None, "ragged", 1)),
        with_input(text=TensorInfo("string", None, "ragged", 2)),
    ),
}


@pytest.mark.parametrize("name", COMPATIBLE)
def test_what_takes_more_and_gives_no_less_is_drop_in(name: str, directory: Path) -> None:
    diff = diff_of(directory, *map(spec_of, COMPATIBLE[name]))
    assert diff.is_drop_in
    assert diff.verdict.startswith("drop-in: ")
    assert diff.changes


@pytest.mark.parametrize("name", BREAKING)
def test_what_takes_less_or_gives_another_thing_is_not(name: str, directory: Path) -> None:
    diff = diff_of(directory, *map(spec_of, BREAKING[name]))
    assert not diff.is_drop_in
    assert diff.verdict.startswith("not drop-in: ")
    assert diff.breaking


def test_a_change_says_what_was_there_and_what_is(directory: Path) -> None:
    diff = diff_of(directory, *map(spec_of, BREAKING["another dimension"]))
    [change] = diff.changes
    assert change.what == "output default of signature sig0"
    assert (change.left, change.right) == ("float32[?, 512]", "float32[?, 256]")
    assert diff.verdict == "not drop-in: 1 breaking change"


def test_what_breaks_comes_first(directory: Path) -> None:
    left = spec_of(EMBED, EMBED)
    right = spec_of(with_output(a=VECTOR, default=TensorInfo("float64", (None, 512))), EMBED, EMBED)
    diff = diff_of(directory, left, right)
    assert [change.breaks for change in diff.changes] == [True, False, False]
    assert diff.changes[-1].what == "signature sig2"
    assert diff.changes[-1].right == "text string[?] → default float32[?, 512]"


def test_signatures_graphs_and_formats_that_are_gone_break(directory: Path) -> None:
    left, right = spec_of(EMBED, EMBED, train=EMBED), spec_of(EMBED, tpu=EMBED)
    changes = {change.what: change for change in diff_of(directory, left, right).changes}
    assert changes["signature sig1"].breaks
    graphs = [c for c in diff_of(directory, left, right).changes if c.what == "graph"]
    assert [(g.left, g.right, g.breaks) for g in graphs] == [
        ("{train}", None, True),
        (None, "{tpu}", False),
    ]
    tf1 = replace(spec_of(EMBED), format="tf1_hub", image_size=(4, 4))
    [format_, size] = diff_of(directory, spec_of(EMBED), tf1).changes
    assert (format_.what, format_.left, format_.right) == ("format", "saved_model", "tf1_hub")
    assert (size.right, size.breaks) == ("4×4", False)


def test_graphs_for_training_are_compared_by_tags(directory: Path) -> None:
    narrow = with_input(text=TensorInfo("string", (8,)))
    diff = diff_of(directory, spec_of(EMBED, train=EMBED), spec_of(EMBED, train=narrow))
    [change] = diff.changes
    assert change.what == "input text of signature sig0 of graph {train}"


def test_files_are_compared_by_their_bytes(tmp_path: Path) -> None:
    left, right = (minimal_module(tmp_path / name) for name in ("left", "right"))
    (left / "variables" / "variables.index").write_bytes(b"others")
    (left / "gone").write_bytes(b"12")
    (right / "new").write_bytes(b"123")
    diff = compare(ResolvedModule.of_directory(left), ResolvedModule.of_directory(right))
    assert [(f.path, f.left_bytes, f.right_bytes) for f in diff.files] == [
        ("gone", 2, None),
        ("new", None, 3),
        ("variables/variables.index", 6, 12),
    ]
    assert diff.verdict == "drop-in: same inputs, 4→4"
    assert diff.to_dict()["drop_in"] is True
