"""Artifacts on a filesystem that is not this machine's, as gs:// is."""

import numpy as np
import pytest
import tfx.v1 as tfx
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_helpers import examples_artifact, plain_vectors, read_examples

from hub_tfx.artifacts import HubModule
from hub_tfx.components import examples
from hub_tfx.components.embedding_generator import executor
from hub_tfx.components.module_resolver.executor import Executor as ModuleResolver
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import DigestMismatchError, InputError
from hub_tfx.testing.remote import RemoteFileSystem

_KEEP_ID = EmbedConfig(keep=("id",))


@pytest.fixture
def root(tmp_path):
    with RemoteFileSystem.at(tmp_path / "bucket"):
        yield tmp_path / "bucket"


def artifact(kind, name):
    made = kind()
    made.uri = f"remote://run/{name}"
    return made


@pytest.fixture
def resolved(root, text_module_dir):
    module = artifact(HubModule, "module")
    ModuleResolver().Do({}, {"module": [module]}, {"handle": str(text_module_dir)})
    return module


def generate(root, resolved, rows, config=_KEEP_ID, **more):
    given = examples_artifact(root / "run" / "examples", {"train": rows, "eval": rows[:1]})
    given.uri = "remote://run/examples"
    outputs = {
        name: [artifact(tfx.types.standard_artifacts.Examples, name)]
        for name in ("embeddings", "dead_letters")
    }
    inputs = {"examples": [given], "module": [resolved], **more}
    executor.Executor().Do(inputs, outputs, {"config": config.to_json()})


def test_remote_examples_and_a_remote_module_give_remote_embeddings(
    root, resolved, text_module_dir
):
    texts = ["the cat", "dog"]
    generate(root, resolved, [{"id": n, "text": text} for n, text in enumerate(texts)])
    rows = read_examples(str(root / "run" / "embeddings"), "train")
    vectors = [row["embedding"] for row in rows]
    np.testing.assert_allclose(vectors, plain_vectors(text_module_dir, texts), atol=1e-6)
    assert [row["id"] for row in rows] == [[0], [1]]
    assert {path.name for path in (root / "run" / "embeddings").iterdir() if path.is_file()} == {
        "manifest-train.json",
        "manifest-eval.json",
    }


def test_a_remote_schema_is_asked_for_by_its_whole_url(root, resolved, monkeypatch):
    asked = []

    def read(_, path):
        asked.append(path)
        return text_format.Parse('feature { name: "text" type: BYTES }', schema_pb2.Schema())

    monkeypatch.setattr(examples.SchemaReader, "read", read)
    schema = artifact(tfx.types.standard_artifacts.Schema, "schema")
    generate(root, resolved, [{"text": "cat"}], EmbedConfig(), schema=[schema])
    assert asked == ["remote://run/schema/schema.pbtxt"]


def test_nothing_temporary_is_left_after_a_failure(root, resolved, monkeypatch):
    from hub_tfx.embed.output import commit

    monkeypatch.setattr(commit, "_check_schemas", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        generate(root, resolved, [{"id": 0, "text": "cat"}])
    assert not [
        path for path in (root / "run").rglob("*") if ".tmp-" in str(path) and path.is_file()
    ]


def test_a_remote_module_that_was_damaged_is_refused(root, resolved):
    (root / "run" / "module" / "module" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(DigestMismatchError, match=r"enable_cache=False"):
        generate(root, resolved, [{"id": 0, "text": "cat"}])


def test_a_missing_remote_split_is_named(root, resolved):
    given = artifact(tfx.types.standard_artifacts.Examples, "nothing")
    given.split_names = '["train"]'
    with pytest.raises(InputError, match="no file matches the input remote://run/nothing/Split-tr"):
        executor.Executor().Do(
            {"examples": [given], "module": [resolved]},
            {n: [artifact(type(given), n)] for n in ("embeddings", "dead_letters")},
            {"config": "{}"},
        )
