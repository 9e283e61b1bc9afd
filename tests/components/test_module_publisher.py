"""ModulePublisher: what it publishes, and what it refuses to."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import published
import pytest
import tfx.v1 as tfx
from cards import write_card

from hub_tfx._tfx import BaseExecutor
from hub_tfx.artifacts import (
    HubModule,
    ModuleEvaluation,
    RetrainDecision,
    read_decision,
    read_module,
    read_statistics,
    stamp,
    write_decision,
    write_module,
)
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_publisher.executor import Executor
from hub_tfx.components.state import LEARNED
from hub_tfx.errors import CardError, ConfigError, HandleError
from hub_tfx.repository.facts import Learned, ModuleFacts, Succession, facts_of
from hub_tfx.repository.names import Reference
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.versions import find
from hub_tfx.retrain.decision import Decision

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


@dataclass
class Retraining:
    """A publisher of a retraining pipeline; each call of it is that of another run."""

    folder: Path
    runs: int = 0

    def run(self, module: Any, decision: Decision, baseline: Any = None) -> dict[str, list[Any]]:
        self.runs += 1
        component = ModulePublisher(
            _channel(HubModule),
            repository=str(self.folder / "modules"),
            name="acme/words",
            card=str(write_card(self.folder)),
            aliases=["stable"],
            decision=_channel(RetrainDecision),
            state_dir=str(self.folder / "state"),
        )
        outputs = {"published": [HubModule()], "learned": [RetrainDecision()]}
        for key, [artifact] in outputs.items():
            artifact.uri = str(self.folder / key / str(self.runs))
        decided = RetrainDecision()
        decided.uri = str(self.folder / "decision" / str(self.runs))
        write_decision(decided, decision, {"Split-train/FeatureStats.pb": b"counted"})
        given = {"module": module, "decision": decided, "baseline": baseline}
        inputs = {key: [artifact] for key, artifact in given.items() if artifact is not None}
        context = BaseExecutor.Context(executor_output_uri="/o", pipeline_run_id=f"r{self.runs}")
        Executor(context).Do(inputs, outputs, dict(component.exec_properties))
        return outputs

    def module(self, name: str, parent: str = "a" * 64) -> Any:
        made = HubModule()
        made.uri = str(self.folder / name)
        source = published.module(self.folder / f"made-{name}", weights=name.encode())
        write_module(made, source.path, {"handle": f"/made/{name}", "parent_digest": parent})
        return made


def decided(spans: str) -> Decision:
    fingerprints = dict.fromkeys(spans, "f")
    return Decision(learn=True, reasons=("new",), start="in use", spans=fingerprints, base="b")


def test_of_two_runs_that_decided_the_same_the_second_takes_what_the_first_published(
    tmp_path: Path,
) -> None:
    retraining = Retraining(tmp_path)
    base = retraining.module("base")
    first = retraining.run(retraining.module("good"), decided("1"), base)
    [of_first] = first["published"]
    assert of_first.get_string_custom_property("outcome") == "published"
    [learned] = first["learned"]
    assert read_decision(learned) == decided("1")
    assert read_statistics(learned) == {"Split-train/FeatureStats.pb": b"counted"}
    assert LEARNED.read(str(tmp_path / "state")) == learned.uri
    version = find(open_storage(tmp_path / "modules"), Reference.parse("acme/words/1"))
    facts = facts_of(open_storage(tmp_path / "modules"), version)
    assert (facts.learned, facts.run) == (Learned({"1": "f"}, "b"), "r1")
    digest = base.get_string_custom_property("digest")
    assert facts.succession == Succession(digest, "stable")

    second = retraining.run(retraining.module("better"), decided("1"), base)
    [of_second] = second["published"]
    assert of_second.get_string_custom_property("outcome") == "already published"
    assert of_second.get_string_custom_property("why").endswith(
        "from the same decision by the run r1"
    )
    assert read_module(of_second).digest == read_module(of_first).digest
    assert of_second.get_string_custom_property("name") == "acme/words"
    assert len(second["learned"]) == 1
    assert {f"`{name}`" for name in of_second.mlmd_artifact.custom_properties} <= set(
        re.findall("`[a-z_]+`", HubModule.__doc__)
    )


def test_a_decision_whose_verdict_is_outdated_has_not_been_carried_out(tmp_path: Path) -> None:
    retraining = Retraining(tmp_path)
    base = retraining.module("base")
    [first] = retraining.run(retraining.module("good"), decided("1"), base)["published"]
    late = retraining.run(retraining.module("better"), decided("12"), base)
    [in_use] = late["published"]
    assert in_use.get_string_custom_property("outcome") == "outdated"
    assert read_module(in_use).digest == read_module(first).digest
    assert late["learned"] == []
    assert LEARNED.read(str(tmp_path / "state")).endswith("learned/1")
    again = retraining.run(retraining.module("better"), decided("12"), in_use)
    assert again["published"][0].get_int_custom_property("version") == 2
    assert len(again["learned"]) == 1


def test_a_run_finishes_what_a_version_tells_of_one_that_was_killed(tmp_path: Path) -> None:
    retraining = Retraining(tmp_path)
    retraining.run(retraining.module("good"), decided("1"), retraining.module("base"))
    known = replace(decided("1"), learn=False, learned_by="acme/words/1")
    made = retraining.run(None, known)
    assert made["published"] == []
    assert read_decision(made["learned"][0]) == known


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
