"""From options to the configs of pipelines, for `hub-tfx run` and `hub-tfx compile` alike."""

from typing import Any

import click
import pytest
from cards import CARD, write_card
from click.testing import CliRunner

from hub_tfx.cli.options import BeamCommand
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import CardError, ConfigError, UsageError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.repository.card import parse_card
from hub_tfx.retrain.config import RetrainConfig, Window
from hub_tfx_kubeflow.cli import compile_
from hub_tfx_pipelines.cli import run
from hub_tfx_pipelines.configs import EmbeddingsRoot
from hub_tfx_pipelines.embed_pipeline import EmbedPipelineConfig
from hub_tfx_pipelines.finetune_pipeline import FineTunePipelineConfig
from hub_tfx_pipelines.options import (
    embed_pipeline_config,
    embed_pipeline_options,
    fine_tune_pipeline_config,
    fine_tune_pipeline_options,
    retrain_pipeline_config,
    retrain_pipeline_options,
)
from hub_tfx_pipelines.publishing import Gate, Publication
from hub_tfx_pipelines.run_local import run_retrain

DIGEST, OTHER = "ab" * 32, "cd" * 32
PLACES = {
    "run": {"--output-root", "--metadata", "--metadata-password-env"},
    "compile": {"--pipeline-root", "--image", "--target", "--output"},
}
OF_BOTH = {"data_root": "records", "pipeline_root": "root"}
OF_EMBEDDING = OF_BOTH | {"pipeline_name": "embed", "module": "text"}
OF_FINE_TUNING = OF_BOTH | {"pipeline_name": "finetune", "fine_tune": FineTuneConfig("topic")}


@click.command(cls=BeamCommand)
@embed_pipeline_options
def embed(**options: Any) -> Any:
    return embed_pipeline_config("root", **options)


@click.command(cls=BeamCommand)
@fine_tune_pipeline_options
def fine_tune(**options: Any) -> Any:
    return fine_tune_pipeline_config("root", **options)


def config_of(command: click.Command, *arguments: str) -> Any:
    given = ["--data-root", "records", *arguments]
    result = CliRunner().invoke(command, given, catch_exceptions=False, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value


@click.command(cls=BeamCommand)
@retrain_pipeline_options
def retrain(**options: Any) -> Any:
    return retrain_pipeline_config("root", **options)


@pytest.mark.parametrize("name", ["embed", "fine-tune"])
def test_both_commands_take_the_same_options_but_for_where_the_pipeline_goes(name: str) -> None:
    options = {
        group: {option for parameter in command.commands[name].params for option in parameter.opts}
        for group, command in {"run": run, "compile": compile_}.items()
    }
    assert all(places <= options[group] for group, places in PLACES.items())
    assert options["run"] - PLACES["run"] == options["compile"] - PLACES["compile"]


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["--sha256", DIGEST.upper()], {"module_digest": DIGEST}),
        (["--digest", DIGEST], {"module_digest": DIGEST}),
        (
            ["--preprocessor", "tokens", "--preprocessor-sha256", OTHER],
            {"preprocessor": "tokens", "preprocessor_digest": OTHER},
        ),
        (
            ["--preprocessor", "tokens", "--preprocessor-digest", OTHER],
            {"preprocessor": "tokens", "preprocessor_digest": OTHER},
        ),
        (
            ["--incremental", "--state-dir", "state"],
            {"incremental": True, "state_dir": "state"},
        ),
        (
            ["--embeddings-root", "s3://bucket/root", "--keep", "id"],
            {
                "embeddings": EmbeddingsRoot(root="s3://bucket/root", keep=2),
                "embed": EmbedConfig(keep=("id",)),
            },
        ),
        (
            ["--embeddings-root", "root", "--keep-generations", "5"],
            {"embeddings": EmbeddingsRoot(root="root", keep=5)},
        ),
        (
            ["--pipeline-name", "mine", "--example-gen", "csv"],
            {"pipeline_name": "mine", "example_gen": "csv"},
        ),
        (["--keep", "id", "title"], {"embed": EmbedConfig(keep=("id", "title"))}),
        (
            ["--", "--direct_num_workers=2"],
            {"beam_pipeline_args": ("--direct_num_workers=2",)},
        ),
    ],
)
def test_options_are_the_attributes_of_an_embedding_pipeline(
    arguments: list[str], changed: dict[str, Any]
) -> None:
    config = config_of(embed, "--module", "text", *arguments)
    assert config == EmbedPipelineConfig(**{**OF_EMBEDDING, **changed})


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (["--module", "text"], {"module": "text"}),
        (
            ["--module", "text", "--digest", DIGEST, "--warm-start"],
            {"module": "text", "module_digest": DIGEST, "warm_start": True},
        ),
        (
            ["--module", "text", "--preprocessor", "tokens", "--preprocessor-digest", OTHER],
            {"module": "text", "preprocessor": "tokens", "preprocessor_digest": OTHER},
        ),
        (
            ["--module-fn", "mine:build", "--format", "saved_model"],
            {"module_fn": "mine:build", "module_format": "saved_model"},
        ),
        (["--run-fn", "mine:train"], {"run_fn": "mine:train"}),
        (
            ["--run-fn", "mine:train", "--text", "a", "b"],
            {"run_fn": "mine:train", "texts": ("a", "b")},
        ),
        (
            ["--run-fn", "mine:train", "--keep", "a", "b"],
            {"run_fn": "mine:train", "kept": ("a", "b")},
        ),
        (["--run-fn", "mine:train", "--kept", "a"], {"run_fn": "mine:train", "kept": ("a",)}),
        (
            ["--module", "text", "--classes", "x", "y", "--class-weights", "x=2", "y=1"],
            {
                "module": "text",
                "fine_tune": FineTuneConfig(
                    "topic", classes=("x", "y"), class_weights={"x": 2.0, "y": 1.0}
                ),
            },
        ),
        (
            ["--module", "text", "--", "--direct_num_workers=2"],
            {"module": "text", "beam_pipeline_args": ("--direct_num_workers=2",)},
        ),
    ],
)
def test_options_are_the_attributes_of_a_fine_tuning_pipeline(
    arguments: list[str], changed: dict[str, Any]
) -> None:
    config = config_of(fine_tune, "--label", "topic", *arguments)
    default = {"kept": (), "texts": None}
    assert config == FineTunePipelineConfig(**{**OF_FINE_TUNING, **default, **changed})


@pytest.mark.parametrize(
    ("command", "arguments", "complaint"),
    [
        (embed, ["--module", "text", "--digest", "abc"], "'abc' is not a digest"),
        (
            embed,
            ["--module", "text", "--preprocessor-digest", DIGEST],
            "--preprocessor-sha256 is that of --preprocessor: give both",
        ),
        (
            fine_tune,
            ["--module-fn", "mine:build", "--digest", DIGEST, "--label", "topic"],
            "--sha256 is that of --module: give both",
        ),
        (
            fine_tune,
            ["--module", "text", "--label", "topic", "--preprocessor-digest", DIGEST],
            "--preprocessor-sha256 is that of --preprocessor: give both",
        ),
        (fine_tune, ["--label", "topic"], "give either module"),
        *(
            (fine_tune, ["--module", "text", "--label", "topic", *given], complaint)
            for given, complaint in {
                ("--publish", "r", "--name", "a/b"): "--publish needs --card",
                ("--publish", "r"): "--publish needs --name and --card",
                ("--name", "a/b"): "--name is for --publish: give both",
                ("--card", "c.md", "--evaluate"): "--card is for --publish: give both",
                ("--alias", "stable"): "--alias is for --publish: give both",
                ("--baseline-sha256", DIGEST, "--evaluate"): "is for --baseline: give both",
                ("--evaluate-split", "test"): "--evaluate-split is for --evaluate: give both",
                ("--margin", "0.1"): "--margin is for --evaluate: give both",
                ("--threshold", "norm_p50>=1"): "--threshold is for --evaluate: give both",
                ("--pairs", "pair"): "--pairs is for --evaluate: give both",
                ("--evaluate", "--task", "regression"): "the label is not a class by which",
                ("--evaluate", "--primary", "beauty"): "'beauty' is not a measure",
            }.items()
        ),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(
    command: click.Command, arguments: list[str], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        config_of(command, *arguments)


def test_a_module_is_judged_where_that_is_asked_for_or_somebody_else_gets_it(
    tmp_path: Any,
) -> None:
    label = ["--label", "topic", "--module", "text"]
    by_topic = EvaluateConfig(label="topic")
    assert config_of(fine_tune, *label).gate is None
    assert config_of(fine_tune, *label, "--evaluate").gate == Gate(config=by_topic)
    measured = ["--margin", "0.1", "--slice", "lang", "--pairs", "pair", "--sample-rows", "9"]
    config = EvaluateConfig(
        label="topic", margin=0.1, slices=("lang",), pairs="pair", sample_rows=9
    )
    given = ["--baseline", "old", "--baseline-sha256", DIGEST, "--evaluate-split", "test", "more"]
    assert config_of(fine_tune, *label, *given, *measured).gate == Gate(
        config=config, splits=("test", "more"), baseline="old", baseline_digest=DIGEST
    )
    card = write_card(tmp_path)
    publish = ["--publish", "r", "--name", "a/b", "--card", str(card), "--alias", "stable", "prod"]
    published = config_of(fine_tune, *label, *publish)
    assert published.gate == Gate(config=by_topic)
    assert published.publication == Publication(
        repository="r", name="a/b", card=parse_card(CARD), aliases=("stable", "prod")
    )
    of_numbers = [*label, "--task", "regression", "--evaluate", "--pairs", "pair"]
    assert config_of(fine_tune, *of_numbers).gate.config == EvaluateConfig(pairs="pair")


def test_options_are_the_attributes_of_a_retraining_pipeline(tmp_path: Any) -> None:
    card = tmp_path / "card.md"
    card.write_text(CARD)
    needed = ["--module", "text", "--label", "topic"]
    publish = ["--publish", "r", "--name", "a/b", "--card", str(card), "--alias", "stable"]
    config = config_of(retrain, *needed, *publish)
    assert (config.pipeline_name, config.warm_start) == ("retrain", True)
    assert config.gate == Gate(config=EvaluateConfig(label="topic"))
    assert config.publication.aliases == ("stable",)
    assert config.retrain == RetrainConfig()
    given = [
        "--min-new-rows",
        "9",
        "--schema",
        "s.pbtxt",
        "--set",
        "retrain.stop_on_anomalies=false",
        "--embeddings-root",
        "e",
        "--keep-generations",
        "4",
    ]
    strict = config_of(retrain, *needed, *publish, *given)
    assert strict.retrain == RetrainConfig(min_new_rows=9, stop_on_anomalies=False)
    assert strict.folders == ("records", "root", "r", "s.pbtxt", "e")
    kept = config_of(retrain, *needed, *publish, "--state-dir", "state")
    assert (kept.state_dir, kept.folders[-1]) == ("state", "state")
    assert (strict.window, strict.embed_window) == (Window(), None)
    spans = "input_config={splits: [{name: rows, pattern: '{SPAN}/*'}]}"
    of_spans = [*needed, *publish, "--set", spans]
    assert config_of(retrain, *of_spans, "--window-last", "7").window == Window(last=7)
    corpus = config_of(retrain, *of_spans, "--since-published", "--set", "embed_window.since=first")
    assert (corpus.window, corpus.corpus_window) == (
        Window(since="published"),
        Window(since="first"),
    )
    assert strict.embeddings == EmbeddingsRoot(root="e", keep=4)
    with pytest.raises(click.MissingParameter) as missing:
        config_of(retrain, *needed)
    assert missing.value.param.opts[0] == "--publish"


def test_a_retraining_pipeline_refuses_what_has_no_place_in_it(tmp_path: Any) -> None:
    card = tmp_path / "card.md"
    card.write_text(CARD)
    publish = ["--publish", "r", "--name", "a/b", "--card", str(card)]
    given = ["--module", "text", "--label", "topic", *publish]
    with pytest.raises(ConfigError, match="eval_config is for the fine-tuning pipeline"):
        config_of(retrain, *given, "--set", "eval_config=judge.json")
    with pytest.raises(ConfigError, match="does not tell spans apart"):
        config_of(retrain, *given, "--window-last", "2")
    with pytest.raises(ConfigError, match="last and since are two ways to name spans"):
        config_of(retrain, *given, "--window-last", "2", "--since-published")
    with pytest.raises(ConfigError, match="leave warm_start true"):
        config_of(retrain, *given, "--since-published", "--set", "warm_start=false")
    named = config_of(retrain, *given, "--baseline", "other")
    with pytest.raises(ConfigError, match=r"baseline is the version in use .* \(--baseline\)"):
        run_retrain(named)


def test_a_card_with_errors_is_refused_before_a_pipeline_runs(tmp_path: Any) -> None:
    card = tmp_path / "card.md"
    card.write_text(CARD.replace("Apache-2.0", "Apache 2"))
    label = ["--label", "topic", "--module", "text"]
    with pytest.raises(CardError, match=r"card\.md:4: license: .*Apache-2\.0"):
        config_of(fine_tune, *label, "--publish", "r", "--name", "a/b", "--card", str(card))


def test_beam_has_its_say_on_its_options() -> None:
    with pytest.raises(ConfigError, match="Beam has no option --direct_workers"):
        config_of(embed, "--module", "text", "--", "--direct_workers=2")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--keep-generations", "3"], "--keep-generations is for --embeddings-root: give both"),
        (
            ["--set", "embeddings.keep=0", "--embeddings-root", "x"],
            "embeddings.keep: takes",
        ),
        (["--embeddings-root", "hdfs://host/x"], "hdfs://… cannot hold embeddings: use a dir"),
        (["--embeddings-root", "gs://user:pass@bucket/x"], "without credentials"),
    ],
)
def test_a_root_of_embeddings_that_cannot_be_is_refused(arguments: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        config_of(embed, "--module", "text", *arguments)


def test_a_config_knows_what_its_steps_read_and_write() -> None:
    config = EmbedPipelineConfig(
        **OF_EMBEDDING,
        preprocessor="tokens",
        state_dir="state",
        embeddings=EmbeddingsRoot(root="generations"),
    )
    assert config.handles == ("text", "tokens")
    assert config.folders == ("records", "root", "state", "generations")
    new = FineTunePipelineConfig(**OF_FINE_TUNING, module_fn="mine:build")
    assert (new.handles, new.folders) == ((), ("records", "root"))
    gate = Gate(config=EvaluateConfig(label="topic"), baseline="old")
    publication = Publication(repository="r", name="a/b", card=parse_card(CARD))
    ending = {"module_fn": "mine:build", "gate": gate, "publication": publication}
    judged = FineTunePipelineConfig(**OF_FINE_TUNING, **ending)
    assert (judged.handles, judged.folders) == (("old",), ("records", "root", "r"))
