"""The lines to copy run, and are those that fit a module."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx.cli.main import run
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat, SignatureSpec, TensorInfo
from hub_tfx.repository.facts import module_facts
from hub_tfx.web.pages.module import default_signature
from hub_tfx.web.pages.snippets import Snippet, Used, snippets

TEXT = SignatureSpec(
    {"text": TensorInfo("string", (None,))}, {"default": TensorInfo("float32", (None, 4))}
)
TITLES = ["hub.load", "hub.KerasLayer", "TFX pipeline", "hub-tfx embed", "curl"]


def used(
    signatures: dict[str, SignatureSpec],
    format: ModuleFormat = "saved_model",
    default: str | None = None,
    url: str = "https://hub.example.org/acme/words/3",
    fine_tunable: bool = False,
) -> Used:
    return Used(url, "acme/words", 3, "d" * 64, format, signatures, default, fine_tunable, "a" * 64)


def by_title(of: Used) -> dict[str, Snippet]:
    return {snippet.title: snippet for snippet in snippets(of)}


def test_the_lines_run(text_module_dir: Path, module_format: ModuleFormat) -> None:
    module = ResolvedModule.of_directory(text_module_dir)
    facts = module_facts(module)
    found = by_title(
        used(
            dict(facts.signatures),
            module_format,
            default_signature(facts),
            str(text_module_dir),
            bool(facts.fine_tunable),
        )
    )
    expected = [*TITLES[:2], *(["hub.Module"] if module_format == "tf1_hub" else []), *TITLES[2:]]
    assert list(found) == expected
    for title in ("hub.load", "hub.KerasLayer", "hub.Module"):
        if title in found:
            names: dict[str, object] = {}
            exec(found[title].code, names)
            assert {"outputs", "layer"} & names.keys()


def test_the_command_that_embeds_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(by_title(used({"serve": TEXT, "other": TEXT}))["hub-tfx embed"].code)
    assert words[:2] == ["hub-tfx", "embed"]
    assert run(["embed", "--help"]) == 0
    told = capsys.readouterr().out
    options = {word for word in words if word.startswith("--")}
    assert options == {"--module", "--digest", "--signature", "--input", "--output"}
    assert all(option in told for option in options)


def test_hub_module_is_for_the_format_of_tensorflow_1_only() -> None:
    assert "hub.Module" not in by_title(used({"serving_default": TEXT}, default="serving_default"))
    old = by_title(used({"default": TEXT}, "tf1_hub", "default"))
    assert "hub.Module" in old
    assert old["hub.KerasLayer"].code.endswith(
        'hub.KerasLayer("https://hub.example.org/acme/words/3")'
    )


def test_a_module_that_can_be_trained_is_loaded_so() -> None:
    tunable = by_title(used({"__call__": TEXT}, default="__call__", fine_tunable=True))
    assert "trainable=True" in tunable["hub.KerasLayer"].code
    assert 'model(tf.constant(["hello world"]))' in tunable["hub.load"].code


def test_images_are_read_by_their_paths() -> None:
    image = SignatureSpec(
        {"images": TensorInfo("float32", (None, None, None, 3))},
        {"default": TensorInfo("float32", (None, 8))},
    )
    found = by_title(used({"default": image}, "tf1_hub", "default"))
    assert "--image-paths" in found["hub-tfx embed"].code
    assert "tf.zeros([1, 224, 224, 3], tf.float32)" in found["hub.load"].code


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=20), st.sampled_from(["string", "int64", "float32"]))
def test_any_name_of_an_input_gives_lines_that_can_be_read(key: str, dtype: str) -> None:
    signature = SignatureSpec(
        {key: TensorInfo(dtype, (None, 3)), f"{key}2": TensorInfo(dtype, None, "sparse")},
        {f"{key}'\"": TensorInfo("float32", None)},
    )
    single = SignatureSpec({key: TensorInfo(dtype, (None, 3))}, signature.outputs)
    for signatures in ({key: signature}, {key: single}, {}):
        for format in ("saved_model", "tf1_hub"):
            for snippet in snippets(used(signatures, format)):
                if snippet.language == "python":
                    compile(snippet.code, snippet.title, "exec")
                else:
                    shlex.split(snippet.code)
