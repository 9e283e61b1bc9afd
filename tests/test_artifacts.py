"""HubModule: written whole, read only if whole, importable by its type's name."""

import importlib
import re
from pathlib import Path

import pytest
import tfx.v1 as tfx

from hub_tfx.artifacts import (
    HubModule,
    ModuleEvaluation,
    PushedEmbeddings,
    RetrainDecision,
    read_module,
    read_number,
    stamp,
    write_module,
)
from hub_tfx.errors import NotAModuleError
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import GraphVariant, ModuleSpec, SignatureSpec, TensorInfo
from hub_tfx.testing import minimal_module

# Of Kubeflow Pipelines v2: namespace, a dot, name.
_SCHEMA_TITLE = re.compile(r"^[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}$")


@pytest.fixture
def artifact(tmp_path):
    made = HubModule()
    made.uri = str(tmp_path / "artifact")
    return made


@pytest.mark.parametrize("kind", [HubModule, ModuleEvaluation, RetrainDecision, PushedEmbeddings])
def test_a_type_can_be_imported_by_its_name_as_kubeflow_v2_does(kind):
    module, _, name = kind.TYPE_NAME.rpartition(".")
    assert getattr(importlib.import_module(module), name) is kind
    assert _SCHEMA_TITLE.match(kind.TYPE_NAME)
    assert not kind.PROPERTIES


def test_what_was_written_is_read_back(tmp_path, artifact):
    source = minimal_module(tmp_path / "source", dim=7)
    write_module(artifact, source, {"handle": "https://example.org/text/1", "version": None})
    module = read_module(artifact)
    assert module.handle == "https://example.org/text/1"
    assert module.digest == Manifest.of_directory(source).digest
    assert module.path == Path(artifact.uri, "module")
    assert artifact.get_int_custom_property("embedding_dim") == 7
    assert not artifact.has_custom_property("version")


def test_the_docstring_draws_the_files_there_are(tmp_path, artifact):
    write_module(artifact, minimal_module(tmp_path / "source"), {"handle": "x"})
    top = {path.name for path in Path(artifact.uri).iterdir()}
    assert top == {"module", "manifest.json"}
    assert all(f"`{name}" in HubModule.__doc__ for name in top)


def test_the_docstring_names_every_property(tmp_path, artifact):
    source = minimal_module(tmp_path / "source")
    write_module(artifact, source, {"handle": "x", "version": 1})
    for name in artifact.mlmd_artifact.custom_properties:
        assert f"`{name}`" in HubModule.__doc__


def test_a_directory_without_a_module_is_not_written(tmp_path, artifact):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotAModuleError):
        write_module(artifact, tmp_path / "empty", {})
    assert not Path(artifact.uri).exists()


def test_a_manifest_that_is_not_one_is_refused(tmp_path, artifact):
    write_module(artifact, minimal_module(tmp_path / "source"), {"handle": "x"})
    Path(artifact.uri, "manifest.json").write_text("{}")
    with pytest.raises(NotAModuleError, match="enable_cache=False"):
        read_module(artifact)


def test_properties_that_are_none_are_left_out(artifact):
    stamp(artifact, {"rows": 0, "handle": "", "dim": None})
    assert set(artifact.mlmd_artifact.custom_properties) == {"rows", "handle"}
    assert artifact.get_int_custom_property("rows") == 0


@pytest.mark.parametrize(
    ("outputs", "dimension"),
    [
        ({"default": (None, 4)}, 4),
        ({"default": (None, None)}, None),
        ({"default": (None, 3, 4)}, None),
        ({"default": None}, None),
        ({"pooled_output": (None, 4), "sequence_output": (None, 128, 4)}, None),
    ],
)
def test_the_dimension_is_that_of_the_only_output_where_the_graph_says_it(outputs, dimension):
    assert spec_of(default=signature_of(outputs)).embedding_dim == dimension


def test_a_module_with_several_signatures_and_no_default_has_no_dimension():
    signature = signature_of({"default": (None, 4)})
    assert spec_of(encode=signature, decode=signature).embedding_dim is None


def signature_of(outputs):
    return SignatureSpec(
        inputs={"text": TensorInfo("string", (None,))},
        outputs={key: TensorInfo("float32", shape) for key, shape in outputs.items()},
    )


def spec_of(**signatures):
    return ModuleSpec("saved_model", (GraphVariant(("serve",), signatures),))


def test_a_span_is_read_where_example_gen_has_it_and_where_other_components_do():
    examples = tfx.types.standard_artifacts.Examples()
    examples.span = 3
    assert (read_number(examples, "span"), read_number(examples, "version")) == (3, 0)
    examples.set_int_custom_property("span", 7)
    assert read_number(examples, "span") == 7
