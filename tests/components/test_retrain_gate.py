"""RetrainGate: what it reads from artifacts, and what the steps after it do with its decision."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
import tfx.v1 as tfx
from cards import CARD
from cards import write_card as card
from published import module
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from hub_tfx._tfx import BaseExecutor
from hub_tfx.artifacts import (
    HubModule,
    ModuleEvaluation,
    RetrainDecision,
    read_decision,
    read_statistics,
    write_decision,
)
from hub_tfx.components.module_evaluator.component import ModuleEvaluator
from hub_tfx.components.module_evaluator.executor import Executor as Evaluator
from hub_tfx.components.module_publisher.component import ModulePublisher
from hub_tfx.components.module_publisher.executor import Executor as Publisher
from hub_tfx.components.module_trainer.executor import Executor as Trainer
from hub_tfx.components.module_trainer.executor import _start
from hub_tfx.components.remote_state import reads_remote_state
from hub_tfx.components.retrain_gate.component import RetrainGate
from hub_tfx.components.retrain_gate.executor import Executor
from hub_tfx.components.skipping import given
from hub_tfx.components.state import LEARNED
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.repository.card import parse_card
from hub_tfx.repository.facts import Learned, module_facts
from hub_tfx.repository.publish import publish
from hub_tfx.retrain.config import RetrainConfig
from hub_tfx.retrain.decision import Decision

of = tfx.types.standard_artifacts
SPLITS = ("train", "eval")
SKIP = Decision(learn=False, reasons=("nothing is new",), start="in use")


def artifact(kind: Any, uri: Path | str) -> Any:
    made = kind()
    made.uri = str(uri)
    return made


def examples(span: int, fingerprint: str | None, uri: str = "/examples/1") -> Any:
    made = artifact(of.Examples, uri)
    made.set_int_custom_property("span", span)
    if fingerprint:
        made.set_string_custom_property("input_fingerprint", fingerprint)
    return made


def about_splits(kind: Any, folder: Path, name: str, messages: Sequence[Any]) -> Any:
    """An artifact with a message of each split, as TFX leaves them."""
    made = artifact(kind, folder)
    made.split_names = '["train", "eval"]'
    for split, message in zip(SPLITS, messages, strict=True):
        (folder / f"Split-{split}").mkdir(parents=True)
        (folder / f"Split-{split}" / name).write_bytes(message.SerializeToString())
    return made


def statistics(folder: Path, *rows: int) -> Any:
    parsed = statistics_pb2.DatasetFeatureStatisticsList
    counts = [parsed(datasets=[{"num_examples": count}]) for count in rows]
    return about_splits(of.ExampleStatistics, folder, "FeatureStats.pb", counts)


def base(digest: str) -> Any:
    made = artifact(HubModule, "/base")
    made.set_string_custom_property("digest", digest)
    return made


@pytest.fixture
def gate(tmp_path: Path) -> Callable[..., Any]:
    """Runs the executor; the artifact of its decision."""

    def run(
        config: RetrainConfig | None = None, state_dir: str | None = None, **inputs: Any
    ) -> Any:
        decision = artifact(RetrainDecision, tmp_path / f"decision-{len(list(tmp_path.iterdir()))}")
        given = {k: v if isinstance(v, list) else [v] for k, v in inputs.items()}
        properties = {"config": (config or RetrainConfig()).to_json(), "state_dir": state_dir}
        Executor().Do(given, {"decision": [decision]}, properties)
        return decision

    return run


def test_what_it_decides_is_in_the_artifact_and_its_properties(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    made = gate(
        examples=examples(3, "f"),
        statistics=statistics(tmp_path / "statistics", 20, 10),
        base_module=base("ab"),
    )
    decision = read_decision(made)
    assert decision.spans == {"3": "f"}
    assert (decision.learn, decision.new_rows, decision.base) == (True, 30, "ab")
    assert made.get_int_custom_property("learn") == 1
    assert made.get_string_custom_property("reason") == decision.reasons[0]
    assert made.get_string_custom_property("new_spans") == "[3]"
    assert made.get_int_custom_property("new_rows") == 30
    assert all(
        f"`{name}`" in RetrainDecision.__doc__ for name in made.mlmd_artifact.custom_properties
    )

    again = gate(examples=examples(3, "f"), base_module=base("ab"), learned=made)
    assert not read_decision(again).learn
    other = gate(examples=examples(3, "f"), base_module=base("cd"), learned=made)
    assert read_decision(other).start == "base"


def test_what_the_version_in_use_has_learned_counts_too(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    learned = Learned({"2": "f"}, "base")
    weights = b"2"
    made = module(tmp_path / "module", weights=weights)
    facts = module_facts(made, learned=learned)
    version = publish(made, tmp_path / "modules", "acme/words", card=card(tmp_path), facts=facts)
    in_use = base(version.digest)
    in_use.set_string_custom_property("handle", version.handle)
    given = {"examples": examples(2, "f"), "base_module": base("base"), "module_in_use": in_use}

    known = gate(**given)
    assert known.get_string_custom_property("reason") == (
        "nothing is new: span 2 and the base module were learned already (acme/words/1)"
    )
    assert read_decision(known).learned == learned
    assert read_decision(gate(**{**given, "examples": examples(2, "other")})).learn
    assert read_decision(gate(**{**given, "base_module": base(version.digest)})).learn
    elsewhere = base("another digest")
    elsewhere.set_string_custom_property("handle", version.handle)
    assert read_decision(gate(**{**given, "module_in_use": elsewhere})).learn


def test_examples_without_a_fingerprint_are_known_by_where_they_are(
    gate: Callable[..., Any],
) -> None:
    first = gate(examples=examples(1, None))
    assert not read_decision(gate(examples=examples(1, None), learned=first)).learn
    elsewhere = examples(1, None, "/examples/2")
    assert read_decision(gate(examples=elsewhere, learned=first)).learn


def test_several_examples_of_a_span_are_one(gate: Callable[..., Any], tmp_path: Path) -> None:
    several = [examples(1, "b"), examples(1, "a"), examples(2, "c")]
    counted = [statistics(tmp_path / str(n), n, 1) for n in range(3)]
    made = gate(examples=several, statistics=counted)
    assert read_decision(made).new_rows == 6
    assert not read_decision(gate(examples=several[1::-1], learned=made)).learn
    with pytest.raises(ConfigError, match="3 Examples and 1 ExampleStatistics"):
        gate(examples=several, statistics=counted[:1])


def test_a_window_of_spans_says_itself_what_it_holds(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    def window(fingerprints: str) -> Any:
        made = examples(10, "all of them")
        made.set_string_custom_property("span_fingerprints", fingerprints)
        made.set_string_custom_property("span_rows", '{"9": 4, "10": 3}')
        return made

    counted = statistics(tmp_path / "counted", 4, 3)
    first = gate(examples=window('{"10": "b", "9": "a"}'), statistics=counted)
    decision = read_decision(first)
    assert decision.spans == {"9": "a", "10": "b"}
    assert (decision.new_spans, decision.new_rows) == ((9, 10), 7)

    again = read_decision(gate(examples=window('{"9": "x", "10": "b"}'), learned=first))
    assert again.reasons == ("span 9 rewritten, 4 rows",)
    for damaged in ("{", "[]", '{"x": "a"}', '{"1": 1}'):
        with pytest.raises(InputError, match="span_fingerprints of /examples/1 is damaged"):
            gate(examples=window(damaged))


def test_anomalies_are_told_with_feature_and_split(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    wrong, whole = anomalies_pb2.Anomalies(data_missing=True), anomalies_pb2.Anomalies()
    whole.anomaly_info["topic"].description = "Examples contain\nvalues missing: \x1b[31m."
    whole.dataset_anomaly_info.description = "few"
    found = about_splits(of.ExampleAnomalies, tmp_path / "found", "SchemaDiff.pb", [whole, wrong])
    reason = read_decision(gate(examples=examples(1, "f"), anomalies=found)).reasons[0]
    assert reason == (
        "the examples have anomalies: split train: few; topic in split train: Examples contain "
        "values missing: \\x1b[31m; split eval has no examples"
    )
    despite = RetrainConfig(stop_on_anomalies=False)
    assert read_decision(gate(despite, examples=examples(1, "f"), anomalies=found)).learn


@pytest.mark.parametrize("content", [b"\xff\xff", None])
def test_what_an_earlier_step_left_damaged_is_named(
    gate: Callable[..., Any], tmp_path: Path, content: bytes | None
) -> None:
    counted = statistics(tmp_path / "statistics", 1, 1)
    file = tmp_path / "statistics" / "Split-eval" / "FeatureStats.pb"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(InputError, match=r"Split-eval/FeatureStats.pb cannot be read"):
        gate(examples=examples(1, "f"), statistics=counted)
    with pytest.raises(InputError, match=r"decision.json cannot be read"):
        read_decision(artifact(RetrainDecision, tmp_path))


def test_rows_are_counted_and_drift_is_measured_by_statistics() -> None:
    channel = tfx.dsl.Importer("/x", of.Examples).outputs["result"]
    with pytest.raises(ConfigError, match="min_new_rows needs statistics"):
        RetrainGate(channel, config=RetrainConfig(min_new_rows=1))
    with pytest.raises(ConfigError, match="drift needs statistics"):
        RetrainGate(channel, config=RetrainConfig(drift={"topic": 0.1}))


# --- Drift ---------------------------------------------------------------------------------------


def columns(folder: Path, train: Mapping[str, list[Any]], eval_: Mapping[str, list[Any]]) -> Any:
    """The statistics of columns, as StatisticsGen leaves them."""
    made = [tfdv.generate_statistics_from_dataframe(pd.DataFrame(of)) for of in (train, eval_)]
    return about_splits(of.ExampleStatistics, folder, "FeatureStats.pb", made)


def test_drift_is_measured_against_what_was_learned_last(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    config = RetrainConfig(min_new_rows=1000, drift={"topic": 0.4, "length": 0.5})
    even = {"topic": ["a", "b"] * 20, "length": list(range(40)), "text": ["x"] * 40}
    far = {**even, "topic": ["a", "c", "c", "c"] * 10}
    first = gate(
        RetrainConfig(drift=config.drift),
        examples=examples(1, "f"),
        statistics=columns(tmp_path / "first", even, even),
    )
    kept = read_statistics(first)
    assert sorted(kept) == ["Split-eval/FeatureStats.pb", "Split-train/FeatureStats.pb"]
    assert b"text" not in kept["Split-eval/FeatureStats.pb"]

    same = columns(tmp_path / "same", even, even)
    waits = gate(config, examples=examples(2, "g"), statistics=same, learned=first)
    reason = read_decision(waits).reasons[0]
    assert reason.startswith("too few new rows: 80, and at least 1000 are asked for; length")
    assert "length has drifted by 0, at most 0.5 (Jensen-Shannon divergence" in reason
    assert "topic has drifted by 0, at most 0.4 (infinity norm" in reason

    drifted = columns(tmp_path / "drifted", even, far)
    learns = gate(config, examples=examples(2, "g"), statistics=drifted, learned=first)
    assert read_decision(learns).reasons[0] == (
        "span 2 new, 80 rows; topic has drifted by 0.75, more than 0.4 (infinity norm, split eval)"
    )


def test_what_cannot_be_compared_is_told_or_refused(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    watches = RetrainConfig(drift={"topic": 0.1})
    column = {"topic": ["a", "b"]}
    counted = columns(tmp_path / "counted", column, column)
    before = gate(examples=examples(1, "f"), statistics=counted)
    now = gate(watches, examples=examples(2, "g"), statistics=counted, learned=before)
    assert "the drift of topic is not known" in read_decision(now).reasons[1]
    with pytest.raises(ConfigError, match=r"'topics', which the examples do not have: .* topic$"):
        gate(RetrainConfig(drift={"topics": 0.1}), examples=examples(1, "f"), statistics=counted)
    several = [examples(1, "f"), examples(2, "g")]
    with pytest.raises(ConfigError, match="one ExampleStatistics, and RetrainGate has 2"):
        gate(watches, examples=several, statistics=[counted, counted])
    file = tmp_path / "counted" / "Split-eval" / "FeatureStats.pb"
    image = statistics_pb2.DatasetFeatureStatisticsList()
    image.datasets.add().features.add(path={"step": ["topic"]}, type="BYTES")
    for split in SPLITS:
        (file.parents[1] / f"Split-{split}" / file.name).write_bytes(image.SerializeToString())
    with pytest.raises(ConfigError, match="'topic', which is neither text nor a number"):
        gate(watches, examples=examples(3, "h"), statistics=counted, learned=now)


# --- Where nobody resolves artifacts of earlier runs ----------------------------------------------


def test_a_state_directory_names_what_was_learned_last(
    gate: Callable[..., Any], tmp_path: Path
) -> None:
    state = str(tmp_path / "state")
    first = gate(state_dir=state, examples=examples(1, "f"))
    assert read_decision(first).learn
    LEARNED.write(state, first.uri)
    assert not read_decision(gate(state_dir=state, examples=examples(1, "f"))).learn
    LEARNED.write(state, "/nowhere")
    with pytest.raises(InputError, match=r"cannot be read .*: delete .*/state/learned\.json, and"):
        gate(state_dir=state, examples=examples(1, "f"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"decision": 1}', "[" * 100_000])
def test_a_damaged_state_directory_is_named(
    gate: Callable[..., Any], tmp_path: Path, content: str
) -> None:
    (tmp_path / "learned.json").write_text(content)
    with pytest.raises(InputError, match=r"learned\.json is damaged: delete it"):
        gate(state_dir=str(tmp_path), examples=examples(1, "f"))


def test_a_gate_with_a_state_directory_decides_in_every_run() -> None:
    channel = tfx.dsl.Importer("/x", of.Examples).outputs["result"]
    assert reads_remote_state(RetrainGate(channel, state_dir="/state"))
    assert not reads_remote_state(RetrainGate(channel))


# --- What the steps after it do ------------------------------------------------------------------


@pytest.fixture
def skip(tmp_path: Path) -> list[Any]:
    made = artifact(RetrainDecision, tmp_path / "skip")
    write_decision(made, SKIP)
    return [made]


@pytest.mark.parametrize(
    ("executor", "outputs"),
    [
        (Trainer, {"module": HubModule, "model": of.Model, "model_run": of.ModelRun}),
        (Evaluator, {"evaluation": RetrainDecision, "blessing": of.ModelBlessing}),
        (Publisher, {"published": HubModule, "learned": RetrainDecision}),
    ],
)
def test_on_a_skip_a_step_reads_nothing_and_makes_nothing(
    executor: Any, outputs: dict[str, Any], skip: list[Any], tmp_path: Path
) -> None:
    made = {key: [artifact(kind, tmp_path / key)] for key, kind in outputs.items()}
    executor().Do({"decision": skip}, made, {})
    assert made == {key: [] for key in outputs}
    assert [path.name for path in tmp_path.iterdir()] == ["skip"]


def test_the_trainer_starts_from_the_version_in_use_unless_the_base_is_new() -> None:
    first, version = base("a"), base("b")
    inputs = {"base_module": [first], "module_in_use": [version]}
    new_base = Decision(learn=True, reasons=("x",), start="base")
    new_span = Decision(learn=True, reasons=("x",), start="in use")
    assert _start(inputs, new_span) is version
    assert _start(inputs, new_base) is first
    assert _start({"base_module": [first]}, new_span) is first
    assert _start({**inputs, "module_in_use": []}, new_span) is first


class OnKfp(BaseExecutor.Context):
    """What KFP v2 gives an executor."""


def test_on_kfp_v2_what_was_not_made_is_left_without_properties_and_counts_as_nothing(
    skip: list[Any], tmp_path: Path
) -> None:
    kinds = {"module": HubModule, "model": of.Model, "model_run": of.ModelRun}
    made = {key: [artifact(kind, tmp_path / key)] for key, kind in kinds.items()}
    Trainer(OnKfp()).Do({"decision": skip}, made, {})
    assert [len(artifacts) for artifacts in made.values()] == [1, 1, 1]
    assert given(made, "module") is None
    assert given({"evaluation": [artifact(ModuleEvaluation, "/e")]}, "evaluation") is None
    assert given({"learned": [artifact(RetrainDecision, "/d")]}, "learned") is None
    assert given({"learned": skip}, "learned") is skip[0]
    in_use = base("b")
    assert _start({"base_module": made["module"], "module_in_use": [in_use]}, None) is in_use


def test_a_module_may_be_missing_only_where_there_is_a_decision() -> None:
    def channel(kind: Any) -> Any:
        return tfx.dsl.Importer("/x", kind).outputs["result"]

    config = EvaluateConfig(label="topic")
    of_publisher = {"repository": "r", "name": "a/b", "card": parse_card(CARD)}
    for decision in (None, channel(RetrainDecision)):
        module = channel(HubModule)
        evaluator = ModuleEvaluator(channel(of.Examples), module, config=config, decision=decision)
        publisher = ModulePublisher(module, **of_publisher, decision=decision)
        assert evaluator.inputs["module"].is_optional is (decision is not None or None)
        assert publisher.inputs["module"].is_optional is (decision is not None or None)
        assert ("learned" in publisher.outputs) == (decision is not None)
