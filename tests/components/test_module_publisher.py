"""ModulePublisher: what it publishes, and what it refuses to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tfx.v1 as tfx
from cards import write_card

from hub_tfx.artifacts import HubModule, ModuleEvaluation, stamp
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_publisher.executor import Executor
from hub_tfx.errors import CardError, ConfigError, HandleError
from hub_tfx.repository.facts import ModuleFacts

Blessing = tfx.types.standard_artifacts.ModelBlessing


@pytest.fixture
def publish(module: Any, tmp_path: Path) -> Callable[..., list[Any]]:
    """Runs the executor; the artifacts of its output."""

    def run(**inputs: Any) -> list[Any]:
        card = write_card(tmp_path)
        component = ModulePublisher(
            _channel(HubModule),
            repository=str(tmp_path / "modules"),
            name="acme/words",
            card=str(card),
            aliases=["stable"],
        )
        published = HubModule()
        published.uri = str(tmp_path / "published" / "1")
        outputs = {"published": [published]}
        given = {key: [artifact] for key, artifact in {"module": module, **inputs}.items()}
        Executor().Do(given, outputs, dict(component.exec_properties))
        return outputs["published"]

    return run


def _channel(artifact_type: Any) -> Any:
    return tfx.dsl.Importer("/x", artifact_type).outputs["result"]


@pytest.fixture
def blessing(module: Any) -> Callable[..., Any]:
    def make(blessed: int, about: str | None = None) -> Any:
        artifact = Blessing()
        stamp(artifact, {"blessed": blessed, "current_model": about or module.uri})
        return artifact

    return make


def test_a_blessed_module_is_published_with_what_ml_metadata_knows_of_it(
    publish: Callable[..., list[Any]], blessing: Callable[..., Any], module: Any, tmp_path: Path
) -> None:
    about = {"parent_digest": "a" * 64, "parent_handle": "/x", "spans": "[3]", "git_commit": "c0"}
    stamp(module, about)
    [published] = publish(blessing=blessing(1))
    assert published.get_string_custom_property("name") == "acme/words"
    assert published.get_int_custom_property("version") == 1
    assert published.get_string_custom_property("handle").endswith("//acme/words/1")
    digest = module.get_string_custom_property("digest")
    assert published.get_string_custom_property("digest") == digest
    text = (tmp_path / "modules" / "acme" / "words" / "1" / "module.json").read_bytes()
    facts = ModuleFacts.from_json(text)
    assert (facts.parent.digest, facts.spans, facts.code_version) == ("a" * 64, (3,), "c0")
    [again] = publish()
    assert again.get_int_custom_property("version") == 1


def test_what_is_not_blessed_is_not_published(
    publish: Callable[..., list[Any]], blessing: Callable[..., Any], tmp_path: Path
) -> None:
    assert publish(blessing=blessing(0)) == []
    assert publish(blessing=Blessing()) == []  # As KFP v2 hands on what nobody has made.
    assert not (tmp_path / "modules").exists()


def test_a_blessing_about_another_module_is_refused(
    publish: Callable[..., list[Any]], blessing: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="about /other, not about the module"):
        publish(blessing=blessing(1, "/other"))
    assert not (tmp_path / "modules").exists()


def test_an_evaluation_of_another_module_is_refused(
    publish: Callable[..., list[Any]], tmp_path: Path, evaluation_of: Callable[[str], str]
) -> None:
    artifact = ModuleEvaluation()
    artifact.uri = str(tmp_path / "evaluation")
    stamp(artifact, {"verdict": "blessed"})
    Path(artifact.uri).mkdir()
    Path(artifact.uri, "evaluation.json").write_text(evaluation_of("b" * 64))
    with pytest.raises(ConfigError, match="not about the module with digest"):
        publish(evaluation=artifact)
    assert not (tmp_path / "modules").exists()


@pytest.fixture
def evaluation_of() -> Callable[[str], str]:
    """An evaluation of a module with a digest, as JSON."""
    import numpy as np

    from hub_tfx.embed.manifest import ModuleRef
    from hub_tfx.evaluate.config import EvaluateConfig
    from hub_tfx.evaluate.measure import measure
    from hub_tfx.evaluate.rows import EvaluatedRows

    def make(digest: str) -> str:
        rows = EvaluatedRows(candidate=np.eye(4, dtype=np.float32))
        return measure(rows, EvaluateConfig(), module=ModuleRef("/other", digest)).to_json()

    return make


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"name": "../words"}, HandleError),
        ({"aliases": ["7"]}, HandleError),
        ({"variants": ["tfjs"]}, ConfigError),
        ({"card": "/no/such/card.md"}, CardError),
    ],
)
def test_what_cannot_be_published_is_refused_when_the_pipeline_is_made(
    wrong: dict[str, Any], error: Any, tmp_path: Path
) -> None:
    right = {"repository": "r", "name": "acme/words", "card": str(write_card(tmp_path))}
    with pytest.raises(error):
        ModulePublisher(_channel(HubModule), **right | wrong)
