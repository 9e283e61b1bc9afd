"""module.json: what is known of a module, and nothing that is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError, InputError
from hub_tfx.module.manifest import FileEntry, Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import SignatureSpec, TensorInfo
from hub_tfx.repository.facts import (
    Blessing,
    Learned,
    Metric,
    ModuleFacts,
    Origin,
    module_facts,
)
from hub_tfx.testing import minimal_module

DIGEST = "ab" * 32


@pytest.fixture
def module(tmp_path: Path) -> ResolvedModule:
    return ResolvedModule.of_directory(minimal_module(tmp_path / "module"))


def test_what_follows_from_the_module_is_read_from_it(module: ResolvedModule) -> None:
    document = module_facts(module).to_dict()
    manifest = Manifest.of_directory(module.path)
    assert document == {
        "format": "saved_model",
        "digest": module.digest,
        "size_bytes": module.size_bytes,
        "files": [
            {"path": e.path, "size_bytes": e.size_bytes, "sha256": e.sha256} for e in manifest.files
        ],
        "signatures": {
            "serving_default": {
                "inputs": {"text": {"dtype": "string", "shape": [None]}},
                "outputs": {"default": {"dtype": "float32", "shape": [None, 4]}},
            }
        },
        "fine_tunable": False,
        "embedding_dim": 4,
    }


def test_what_is_not_known_is_left_out(module: ResolvedModule) -> None:
    text = module_facts(module, run="", code_version="").to_json()
    unknown = {"handle", "parent", "metrics", "spans", "learned", "run", "code_version", "blessing"}
    assert not unknown & {*json.loads(text)}
    assert str(module.path) not in text


def test_what_is_told_of_a_module_is_there(module: ResolvedModule) -> None:
    facts = module_facts(
        module,
        handle="acme/news/3",
        parent=Origin(DIGEST, "acme/news/2"),
        metrics=[Metric("mrr", 0.5, "pairs", n=20, interval=(0.4, 0.6), slice="lang=en")],
        spans=[2, 1, 2],
        learned=Learned({"1": "f", "2": "g"}, DIGEST),
        run="run-7",
        code_version="c0ffee",
        blessing=Blessing(False, ("it is not better",), Origin(DIGEST)),
    )
    document = json.loads(facts.to_json())
    assert document["parent"] == {"digest": DIGEST, "handle": "acme/news/2"}
    assert document["spans"] == [1, 2]
    assert document["learned"] == {"spans": {"1": "f", "2": "g"}, "base": DIGEST}
    assert document["metrics"][0]["interval"] == [0.4, 0.6]
    assert document["blessing"] == {
        "blessed": False,
        "why": ["it is not better"],
        "baseline": {"digest": DIGEST},
    }
    assert ModuleFacts.from_json(facts.to_json()) == facts


def test_real_modules_can_be_fine_tuned(text_module_dir: Path, image_module_dir: Path) -> None:
    for path in (text_module_dir, image_module_dir):
        assert module_facts(ResolvedModule.of_directory(path)).fine_tunable is True


_NAMES = st.text(min_size=1, max_size=10)
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
_SIZES = st.none() | st.integers(0, 9)
_TENSORS = st.builds(
    TensorInfo,
    st.sampled_from(["float32", "string"]),
    st.none() | st.lists(_SIZES, max_size=3).map(tuple),
) | st.builds(
    TensorInfo,
    st.just("int64"),
    st.none(),
    st.just("ragged"),
    st.integers(1, 3),
    st.sampled_from(["int32", "int64"]),
)
_SIDES = st.dictionaries(_NAMES, _TENSORS, max_size=2)
_ORIGINS = st.builds(Origin, st.just(DIGEST), st.none() | _NAMES)
_METRICS = st.builds(
    Metric,
    _NAMES,
    _NUMBERS,
    _NAMES,
    n=_SIZES,
    interval=st.none() | st.tuples(_NUMBERS, _NUMBERS),
    baseline=st.none() | _NUMBERS,
    slice=st.none() | _NAMES,
)


@st.composite
def some_facts(draw: Any) -> ModuleFacts:
    paths = draw(st.lists(st.sampled_from(["a", "b/c", "saved_model.pb"]), unique=True))
    manifest = Manifest(tuple(sorted(FileEntry(p, draw(st.integers(0, 9)), DIGEST) for p in paths)))
    return ModuleFacts(
        format=draw(st.sampled_from(["saved_model", "tf1_hub"])),
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        files=manifest.files,
        signatures=draw(
            st.dictionaries(_NAMES, st.builds(SignatureSpec, _SIDES, _SIDES), max_size=2)
        ),
        handle=draw(st.none() | _NAMES),
        fine_tunable=draw(st.none() | st.booleans()),
        embedding_dim=draw(_SIZES),
        parent=draw(st.none() | _ORIGINS),
        metrics=draw(st.lists(_METRICS, max_size=2).map(tuple)),
        spans=draw(st.lists(st.integers(0, 5), max_size=2).map(tuple)),
        learned=draw(
            st.none()
            | st.builds(Learned, st.dictionaries(_NAMES, _NAMES, max_size=2), st.none() | _NAMES)
        ),
        run=draw(st.none() | _NAMES),
        code_version=draw(st.none() | _NAMES),
        blessing=draw(
            st.none()
            | st.builds(Blessing, st.booleans(), st.lists(_NAMES).map(tuple), st.none() | _ORIGINS)
        ),
    )


@settings(deadline=None, max_examples=60)
@given(some_facts())
def test_facts_survive_their_json(facts: ModuleFacts) -> None:
    assert ModuleFacts.from_json(facts.to_json()) == facts
    assert ModuleFacts.from_json(facts.to_json()).to_json() == facts.to_json()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"format": "saved_model"', '"format": "onnx"', "format is not tf1_hub or saved_model"),
        ('"size_bytes": 126', '"size_bytes": true', "size_bytes is not a whole number"),
        ('"size_bytes": 126', '"size_bytes": 127', "its size is not that of its files"),
        ('"digest": "', '"digest": "0', "its digest or its size is not that of its files"),
        ('"embedding_dim": 4', '"embedding_dim": "4"', "embedding_dim is not a whole number"),
        ('"embedding_dim": 4', '"dimension": 4', "it has the unknown key 'dimension'"),
        ('"path": "variables/', '"path": "../', "a file cannot be called '../variables.index'"),
        ('"value": 0.5', '"value": NaN', "NaN is not a number of JSON"),
        ('"value": 0.5', '"value": 1e999', "value is not a number"),
        ('"value": 0.5', f'"value": 1{"0" * 400}', "value is not a number"),
        ('"value": 0.5', '"value": "0.5"', "value is not a number"),
        ('"shape": [', '"form": [', "text has the unknown key 'form'"),
        ('"learned": {', '"learned": {"span": 1, ', "learned has the unknown key 'span'"),
        ('"2": "f"', '"2": 3', "2 is not a text"),
        ('"name": "mrr",', "", "metrics lacks the key 'name'"),
        ('"fine_tunable": false', '"fine_tunable": 0', "fine_tunable is not true or false"),
    ],
)
def test_facts_of_others_are_checked(old: str, new: str, why: str, module: ResolvedModule) -> None:
    metrics, learned = [Metric("mrr", 0.5, "pairs")], Learned({"2": "f"})
    text = module_facts(module, metrics=metrics, learned=learned).to_json()
    assert old in text
    with pytest.raises(InputError, match=r"^acme/news/3 is damaged: ") as refused:
        ModuleFacts.from_json(text.replace(old, new), "acme/news/3")
    assert why in str(refused.value)


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.just(b"[" * 100_000) | st.just(b"[]"))
def test_any_bytes_are_refused_in_our_words(source: bytes) -> None:
    with pytest.raises(InputError, match=r"^module\.json is damaged: "):
        ModuleFacts.from_json(source)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_was_not_measured_is_no_metric(value: float) -> None:
    with pytest.raises(ConfigError, match="the metric mrr is not finite"):
        Metric("mrr", value, "pairs")
    with pytest.raises(ConfigError, match="is not finite"):
        Metric("mrr", 0.5, "pairs", interval=(0.0, value))


def test_a_digest_is_one() -> None:
    with pytest.raises(ConfigError, match="'abc' is not a digest: it takes 64 hex digits"):
        Origin("abc")
