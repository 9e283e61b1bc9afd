"""EmbeddingGenerator copies unchanged rows from earlier embeddings, whichever way it finds them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tfx.v1 as tfx
from part_names import untagged
from tfx_helpers import examples_artifact, plain_vectors, read_examples

from hub_tfx.components.embedding_generator.component import EmbeddingGenerator
from hub_tfx.components.embedding_generator.executor import Executor
from hub_tfx.components.latest_embeddings import LatestOrNoneStrategy
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError, DigestMismatchError, InputError
from hub_tfx.testing import text_module

TEXTS = ["the cat", "dog sat", "on the mat", "hello"]
KEEP = EmbedConfig(keep=("id",))


@pytest.fixture
def run(tmp_path, module):
    """Runs the executor on splits of texts; the embeddings of each run lie elsewhere."""
    count = 0

    def call(splits, previous=None, config=KEEP, module=module, **parameters):
        nonlocal count
        count += 1
        rows = {
            split: [{"id": n, "text": text} for n, text in enumerate(texts)]
            for split, texts in splits.items()
        }
        made = {}
        for name in ("embeddings", "dead_letters"):
            artifact = tfx.types.standard_artifacts.Examples()
            artifact.uri = str(tmp_path / name / str(count))
            Path(artifact.uri).mkdir(parents=True)
            made[name] = [artifact]
        inputs = {
            "examples": [examples_artifact(tmp_path / "examples" / str(count), rows)],
            "module": [module],
            "previous": [previous] if previous else [],
        }
        Executor().Do(inputs, made, {"config": config.to_json(), **parameters})
        return made["embeddings"][0]

    return call


def reused(embeddings):
    return embeddings.get_int_custom_property("reused")


def test_rows_are_copied_also_from_other_splits(run, text_dir):
    first = run({"train": TEXTS[:3], "eval": TEXTS[3:]})
    assert reused(first) == 0
    texts = {"train": [TEXTS[3], "new"], "eval": [TEXTS[0]], "test": TEXTS[1:3]}
    second = run(texts, first)
    assert reused(second) == 4
    for split, of_split in texts.items():
        rows = read_examples(second.uri, split)
        assert [row["id"] for row in rows] == [[n] for n in range(len(of_split))]
        vectors = [row["embedding"] for row in rows]
        np.testing.assert_allclose(vectors, plain_vectors(text_dir, of_split), atol=1e-6)
        manifest = json.loads(Path(second.uri, f"manifest-{split}.json").read_text())
        assert manifest["reused"] == len([text for text in of_split if text != "new"])
    assert reused(run({"train": ["new"]}, second)) == 1


def test_digests_are_no_data_of_a_split(run):
    embeddings = run({"train": TEXTS})
    assert untagged(path.name for path in Path(embeddings.uri, "Split-train").iterdir()) == [
        "embeddings-00000-of-00001.tfrecord.gz"
    ]
    (digests,) = Path(embeddings.uri, "digests-train").iterdir()
    assert len(digests.read_bytes()) == 16 * len(TEXTS)


def test_an_earlier_run_without_embeddings_is_none(run, tmp_path):
    assert reused(run({"train": TEXTS}, examples_artifact(tmp_path / "x", {"train": []}))) == 0


def test_another_module_embeds_all_again(run, hub_module, tmp_path, caplog):
    first = run({"train": TEXTS})
    shutil.rmtree(tmp_path / "ModuleResolver")
    other = hub_module(text_module(tmp_path / "other", dim=5))
    second = run({"train": TEXTS}, first, module=other)
    assert reused(second) == 0
    assert len(read_examples(second.uri, "train")[0]["embedding"]) == 5
    assert "nothing is copied, all rows are embedded: module changed" in caplog.text


def test_damaged_embeddings_are_refused_and_the_fix_named(run):
    first = run({"train": TEXTS})
    (path,) = Path(first.uri, "Split-train").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DigestMismatchError, match=f"{path}.*leave the earlier output out"):
        run({"train": TEXTS}, first)


def test_float16_and_int8_are_copied_too(run):
    for dtype in ("float16", "int8"):
        config = EmbedConfig(keep=("id",), output_dtype=dtype)
        first = run({"train": TEXTS}, config=config)
        second = run({"train": TEXTS[::-1]}, first, config=config)
        assert reused(second) == len(TEXTS)
        vectors = [row["embedding"] for row in read_examples(first.uri, "train")]
        assert [row["embedding"] for row in read_examples(second.uri, "train")] == vectors[::-1]


# --- State directories ---------------------------------------------------------------------------


def test_a_state_directory_names_the_embeddings_of_the_last_run(run, tmp_path):
    state = {"state_dir": str(tmp_path / "state")}
    first = run({"train": TEXTS}, **state)
    latest = Path(state["state_dir"], "latest.json")
    assert json.loads(latest.read_text()) == {"embeddings": first.uri}
    second = run({"train": [*TEXTS, "new"]}, **state)
    assert (reused(first), reused(second)) == (0, 4)
    assert json.loads(latest.read_text()) == {"embeddings": second.uri}
    assert [path.name for path in latest.parent.iterdir()] == ["latest.json"]


def test_a_failed_run_leaves_the_state_as_it_was(run, tmp_path):
    state = {"state_dir": str(tmp_path / "state")}
    first = run({"train": TEXTS}, **state)
    with pytest.raises(ConfigError):
        run({"train": TEXTS}, config=EmbedConfig(keep=("nothing",)), **state)
    latest = Path(state["state_dir"], "latest.json")
    assert json.loads(latest.read_text()) == {"embeddings": first.uri}


def test_embeddings_that_are_gone_are_no_earlier_ones(run, tmp_path):
    state = {"state_dir": str(tmp_path / "state")}
    shutil.rmtree(run({"train": TEXTS}, **state).uri)
    assert reused(run({"train": TEXTS}, **state)) == 0
    assert reused(run({"train": TEXTS}, **state)) == 4


def test_previous_goes_before_the_state(run, tmp_path):
    state = {"state_dir": str(tmp_path / "state")}
    earlier = run({"train": TEXTS[:1]})
    run({"train": TEXTS}, **state)
    assert reused(run({"train": TEXTS}, earlier, **state)) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_state_is_refused_and_the_fix_named(run, tmp_path, content):
    (tmp_path / "latest.json").write_text(content)
    with pytest.raises(InputError, match=r"latest\.json is damaged: delete it"):
        run({"train": TEXTS}, state_dir=str(tmp_path))


# --- What finds them -----------------------------------------------------------------------------


def test_the_newest_is_chosen_or_none():
    def artifact(number):
        made = tfx.types.standard_artifacts.Examples()
        made.id = number
        return made

    found = LatestOrNoneStrategy().resolve_artifacts(
        None, {"previous": [artifact(3), artifact(9), artifact(5)], "other": []}
    )
    assert {key: [a.id for a in chosen] for key, chosen in found.items()} == {
        "previous": [9],
        "other": [],
    }


def test_a_state_directory_may_be_a_runtime_parameter():
    from hub_tfx._tfx import Channel
    from hub_tfx.artifacts import HubModule

    examples = Channel(type=tfx.types.standard_artifacts.Examples)
    state_dir = tfx.dsl.experimental.RuntimeParameter(name="state", ptype=str)
    component = EmbeddingGenerator(examples, Channel(type=HubModule), state_dir=state_dir)
    assert component.spec.exec_properties["state_dir"] is state_dir
