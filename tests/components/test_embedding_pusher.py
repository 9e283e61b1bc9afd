"""EmbeddingPusher: what it pushes, says of it, and refuses to push."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tfx.v1 as tfx
from pushes import digest_of, write_embeddings
from tfx_helpers import tfx_split_names

from hub_tfx.artifacts import PushedEmbeddings
from hub_tfx.components.embedding_pusher.component import EmbeddingPusher
from hub_tfx.components.embedding_pusher.executor import Executor
from hub_tfx.embed.generations import Generation, latest_generation
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.lineage.store import properties_of

Examples = tfx.types.standard_artifacts.Examples


@pytest.fixture
def embeddings(tmp_path: Path) -> Callable[..., Any]:
    """Makes the `embeddings` of a run."""
    made = iter(range(100))

    def make(module: str = "words", **splits: int) -> Any:
        artifact = Examples()
        artifact.uri = str(tmp_path / "embeddings" / str(next(made)))
        artifact.split_names = tfx_split_names(list(splits))
        for split, rows in splits.items():
            write_embeddings(Path(artifact.uri), [[1.0, 2.0]] * rows, module, split)
        return artifact

    return make


@pytest.fixture
def push(tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor; the artifact of its output."""

    def run(embeddings: Any, keep: int = 2) -> Any:
        channel = tfx.dsl.Importer("/x", Examples).outputs["result"]
        component = EmbeddingPusher(channel, root=str(tmp_path / "root"), keep=keep)
        pushed = PushedEmbeddings()
        pushed.uri = str(tmp_path / "pushed" / "1")
        executor = Executor()
        executor._context = SimpleNamespace(pipeline_run_id="run-7")
        given = {"embeddings": [embeddings], "before": []}
        executor.Do(given, {"pushed": [pushed]}, dict(component.exec_properties))
        return pushed

    return run


def test_embeddings_become_the_latest_generation_and_the_artifact_says_so(
    embeddings: Callable[..., Any], push: Callable[..., Any], tmp_path: Path
) -> None:
    pushed = push(embeddings(train=2, eval=1))
    assert properties_of(pushed.mlmd_artifact) == {
        "root": str(tmp_path / "root"),
        "generation": 1,
        "location": str(tmp_path / "root" / "1"),
        "created": 1,
        "handle": "hub/words",
        "module_digest": digest_of("words"),
        "rows": 3,
    }
    text = Path(pushed.uri, "generation.json").read_bytes()
    generation = Generation.from_json(text, 1)
    assert generation == latest_generation(tmp_path / "root")
    assert (generation.run, generation.splits) == ("run-7", ("eval", "train"))


def test_the_same_embeddings_again_are_the_generation_that_there_is(
    embeddings: Callable[..., Any], push: Callable[..., Any]
) -> None:
    push(embeddings(train=2))
    again = push(embeddings(train=2))
    assert again.get_int_custom_property("generation") == 1
    assert again.get_int_custom_property("created") == 0
    assert push(embeddings("others", train=2)).get_int_custom_property("generation") == 2


def test_it_keeps_as_many_generations_as_it_is_told(
    embeddings: Callable[..., Any], push: Callable[..., Any], tmp_path: Path
) -> None:
    for rows in range(1, 5):
        push(embeddings(train=rows), keep=3)
    assert not (tmp_path / "root" / "1").exists()
    assert (tmp_path / "root" / "2" / "generation.json").exists()


def test_embeddings_that_lack_a_split_are_refused(
    embeddings: Callable[..., Any], push: Callable[..., Any], tmp_path: Path
) -> None:
    artifact = embeddings(train=2, eval=1)
    Path(artifact.uri, "manifest-eval.json").unlink()
    with pytest.raises(InputError, match="it lacks the split 'eval'; make the embeddings again"):
        push(artifact)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"root": "hdfs://host/x"}, "hdfs://… cannot hold embeddings"),
        ({"root": ""}, "has no name"),
        ({"root": "x", "keep": 0}, "keep is 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(options: dict[str, Any], why: str) -> None:
    channel = tfx.dsl.Importer("/x", Examples).outputs["result"]
    with pytest.raises(ConfigError, match=why):
        EmbeddingPusher(channel, **options)


def test_a_root_may_be_a_runtime_parameter() -> None:
    channel = tfx.dsl.Importer("/x", Examples).outputs["result"]
    root = tfx.dsl.experimental.RuntimeParameter(name="root", ptype=str)
    assert EmbeddingPusher(channel, root=root).spec.exec_properties["root"] is root
