"""`hub-tfx config`, and `--config` of `hub-tfx run` and `hub-tfx compile`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hub_tfx.cli.main import run_command
from hub_tfx.errors import ConfigError, ConfigFileError, UsageError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx_kubeflow.cli import compile_
from hub_tfx_pipelines.cli import run
from hub_tfx_pipelines.config_cli import config
from hub_tfx_pipelines.config_options import PipelineCommand
from hub_tfx_pipelines.options import (
    embed_pipeline_config,
    embed_pipeline_options,
    fine_tune_pipeline_config,
    fine_tune_pipeline_options,
)
from hub_tfx_pipelines.place_options import place_options

EXAMPLES = Path(__file__).parents[2] / "pipelines" / "examples"
DIGEST = "ab" * 32
EMBED = """\
pipeline: embed
data_root: records
pipeline_root: root
module: text
embed:
  keep: [id]
"""
FINE_TUNE = """\
pipeline: fine-tune
data_root: records
pipeline_root: root
module: text
fine_tune:
  label: topic
  task: classification
"""


@click.command(cls=PipelineCommand)
@embed_pipeline_options
@place_options
def embed(**options: Any) -> Any:
    return embed_pipeline_config(**options)


@click.command(cls=PipelineCommand)
@fine_tune_pipeline_options
@place_options
def fine_tune(**options: Any) -> Any:
    return fine_tune_pipeline_config(**options)


COMMANDS = {"embed": embed, "fine-tune": fine_tune}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES / "card.md", "card.md")
    Path("embed.yaml").write_text(EMBED)
    Path("fine-tune.yaml").write_text(FINE_TUNE)
    return tmp_path


def made(name: str, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """The config that the options of a pipeline make."""
    result = CliRunner(env=env).invoke(COMMANDS[name], arguments, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value


def told(command: click.Command, capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """Exit code, standard output and standard error."""
    code = run_command(command, list(arguments), "hub-tfx")
    return code, *capsys.readouterr()


# --- Options and files ----------------------------------------------------------------------------

OF_EMBEDDING = """\
--data-root records --module text --sha256 DIGEST --preprocessor tokens --preprocessor-sha256 DIGEST
--example-gen csv --pipeline-name mine --incremental --state-dir state --output-root out
--embeddings-root generations --keep-generations 3
--signature s --tags a,b --no-batch --input-map text=body --output-map default=vector --keep id no
--batch-size 5 --batch-bytes 6 --call-timeout 1.5 --threads 2 --text-encoding bytes --image-paths
--image-size 2 3 --import os --max-dead-letter-ratio 0.5 --normalize --output-dtype int8
--deduplicate"""
OF_FINE_TUNING = """\
--data-root records --module text --sha256 DIGEST --preprocessor tokens --preprocessor-sha256 DIGEST
--example-gen csv --pipeline-name mine --format saved_model --warm-start --text a b --keep c
--run-fn mine:train --eval-config judge.json --output-root out --metadata mysql://me@db/m
--metadata-password-env WORD
--label topic --task multilabel --classes x y --class-weights x=2 --signature s
--input-map text=body --text-encoding bytes --image-paths --image-size 2 3 --import os
--max-dead-letter-ratio 0.5 --hidden 8 4 --dropout 0.5 --weight-decay 0.1 --steps 7 --batch-size 3
--learning-rate 0.1 --module-learning-rate 1e-05 --freeze --unfreeze-after 2 --warmup-steps 1
--decay cosine --threads 1 --seed 0 --eval-every 2 --eval-steps 3 --patience 4
--evaluate --publish modules --name acme/words --card card.md --alias stable prod --baseline old
--baseline-sha256 DIGEST --evaluate-split test --pairs pair --slice lang --primary recall@5
--margin 0.01 --threshold recall@5>=0.1 --sample-rows 9 --neighbours 5 --probe ridge"""


@pytest.mark.parametrize(
    ("name", "options", "left_out"),
    [
        (
            "embed",
            OF_EMBEDDING,
            {"--config", "--set", "--lock-file", "--metadata", "--metadata-password-env"},
        ),
        (
            "fine-tune",
            OF_FINE_TUNING,
            {"--config", "--set", "--lock-file", "--module-fn", "--pair"},
        ),
    ],
)
def test_options_and_the_file_that_show_prints_are_equal(
    name: str, options: str, left_out: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = options.replace("DIGEST", DIGEST).split()
    code, out, err = told(config, capsys, "show", name, *arguments, "--yaml")
    assert (code, err) == (0, "")
    Path("same.yaml").write_text(out)
    assert made(name, "--config", "same.yaml") == made(name, *arguments)
    given = {word for word in arguments if word.startswith("--")}
    known = {option.opts[0] for option in COMMANDS[name].params}
    assert known - given == left_out


def test_an_option_wins_over_a_setting_that_over_the_environment_and_that_over_the_file() -> None:
    file = ["--config", "embed.yaml"]
    Path("embed.yaml").write_text(f"{EMBED}  batch_size: 1\n")
    environment = {"HUB_TFX_BATCH_SIZE": "2", "HUB_TFX_INCREMENTAL": "1", "HUB_TFX_KEEP": "a b"}
    setting = ["--set", "embed.batch_size=3"]
    assert made("embed", *file).embed.batch_size == 1
    assert made("embed", *file, env=environment).embed.batch_size == 2
    assert made("embed", *file, *setting, env=environment).embed.batch_size == 3
    assert made("embed", *file, *setting, "--batch-size", "4").embed.batch_size == 4
    of_environment = made("embed", *file, env=environment)
    assert (of_environment.incremental, of_environment.embed.keep) == (True, ("a", "b"))


def test_settings_and_options_need_no_file() -> None:
    given = ["--data-root", "records", "--module", "text", "--output-root", "out"]
    assert made("embed", *given, "--set", "enable_cache=false").enable_cache is False
    with pytest.raises(click.MissingParameter, match="data_root"):
        made("embed", "--module", "text", "--set", "enable_cache=false")
    with pytest.raises(ConfigFileError, match=r"--set enable_cache: takes true or false, not 'no'"):
        made("embed", *given, "--set", "enable_cache=no")


def test_a_file_gives_required_options_and_what_is_missing_is_told_by_the_file() -> None:
    assert made("fine-tune", "--config", "fine-tune.yaml").fine_tune.label == "topic"
    Path("fine-tune.yaml").write_text(FINE_TUNE.replace("  label: topic\n", ""))
    with pytest.raises(ConfigFileError, match=r"fine-tune\.yaml:6: fine_tune\.label: is missing"):
        made("fine-tune", "--config", "fine-tune.yaml")


def test_a_place_of_metadata_in_a_file_stays_when_artifacts_go_elsewhere() -> None:
    both = ["--config", "embed.yaml", "--output-root", "out"]
    assert str(made("embed", *both).connection) == "out/metadata.sqlite"
    for line in ("metadata: mine.sqlite\n", "metadata_path: mine.sqlite\n"):
        Path("embed.yaml").write_text(EMBED + line)
        assert str(made("embed", *both).connection) == "mine.sqlite"
        assert made("embed", *both).pipeline_root == "out/artifacts"
        assert str(made("embed", *both, "--metadata", "other").connection) == "other"


def test_options_of_the_gate_are_put_over_that_of_the_file() -> None:
    gate = "gate:\n  config: {pairs: pair, neighbours: 5}\n"
    Path("fine-tune.yaml").write_text(FINE_TUNE + gate)
    file = ["--config", "fine-tune.yaml"]
    assert made("fine-tune", *file, "--margin", "0.1").gate.config == EvaluateConfig(
        pairs="pair", neighbours=5, margin=0.1
    )
    published = ["--publish", "r", "--name", "a/b", "--card", "card.md"]
    assert made("fine-tune", *file, *published).publication.repository == "r"
    Path("fine-tune.yaml").write_text(FINE_TUNE)
    assert made("fine-tune", *file, *published).gate.config == EvaluateConfig(label="topic")
    with pytest.raises(UsageError, match="--margin is for --evaluate: give both"):
        made("fine-tune", *file, "--margin", "0.1")


def test_the_publication_of_a_file_takes_options() -> None:
    ending = (
        "gate: {config: {label: topic}}\npublication: {repository: r, name: a/b, card: card.md}\n"
    )
    Path("fine-tune.yaml").write_text(FINE_TUNE + ending)
    file = ["--config", "fine-tune.yaml"]
    publication = made("fine-tune", *file, "--alias", "stable", "--publish", "s").publication
    assert (publication.repository, publication.name) == ("s", "a/b")
    assert publication.aliases == ("stable",)


def test_beam_has_its_say_on_what_a_file_says() -> None:
    Path("embed.yaml").write_text(f"{EMBED}beam_pipeline_args: [--direct_workers=2]\n")
    with pytest.raises(ConfigError, match=r"embed\.yaml:7: beam_pipeline_args: .*no option --dir"):
        made("embed", "--config", "embed.yaml")
    given = made("embed", "--config", "embed.yaml", "--", "--direct_num_workers=3")
    assert given.beam_pipeline_args == ("--direct_num_workers=3",)


def test_a_file_about_another_pipeline_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(run, capsys, "embed", "--config", "fine-tune.yaml")
    assert (code, out) == (2, "")
    assert "fine-tune.yaml:1: pipeline: is fine-tune, but the command is for embed" in err


def test_a_run_needs_a_place_for_metadata(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(run, capsys, "embed", "--config", "embed.yaml")
    assert code == 2
    assert "where ML Metadata is kept is missing: give --output-root or --metadata, or" in err


# --- `hub-tfx compile` ----------------------------------------------------------------------------


def test_a_file_is_compiled_for_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    there = ["data_root=gs://b/r", "pipeline_root=gs://b/p", "module=https://e.org/1"]
    file = ["--config", "embed.yaml", "--image", "example.org/hub:1", "--set", *there]
    file += ["metadata=mysql://me@db/mlmd?password_env=NOT_SET_HERE"]
    code, out, err = told(compile_, capsys, "embed", *file, "--target", "vertex")
    assert (code, out, err) == (0, "embed.json\n", "")
    text = Path("embed.json").read_text()
    assert '"gs://b/p"' in text
    assert "mlmd" not in text
    options = "--data-root gs://b/r --pipeline-root gs://b/p --module https://e.org/1 --keep id"
    given = [*options.split(), "--image", "example.org/hub:1", "--output", "other.json"]
    assert told(compile_, capsys, "embed", *given)[0] == 0
    assert Path("other.json").read_text() == text


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([], "give --output or --target: one of them says what to compile for"),
        (
            ["--target", "kfp", "--output", "a.json"],
            "a.json: --target kfp is a .yaml or .yml: name",
        ),
        (
            ["--target", "vertex", "--output", "a.yml"],
            "a.yml: --target vertex is a .json: name one",
        ),
        (["--target", "flink"], "'flink' is not one of 'kfp', 'vertex'"),
    ],
)
def test_a_target_and_a_file_that_do_not_fit_are_refused(
    given: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = told(
        compile_, capsys, "embed", "--config", "embed.yaml", "--image", "i", *given
    )
    assert (code, out) == (2, "")
    assert complaint in err


# --- `hub-tfx config` -----------------------------------------------------------------------------


def test_every_example_is_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    files = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
    assert len(files) == 5
    code, out, err = told(config, capsys, "check", *files)
    assert (code, out) == (0, "")
    assert err.endswith(": no error\n")


def test_check_tells_all_that_is_wrong_in_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("embed.yaml").write_text(f"{EMBED}  batch_size: 0\nmodul: x\n")
    code, out, _ = told(config, capsys, "check", "embed.yaml", "none.yaml", "fine-tune.yaml")
    first, second, third = out.splitlines()
    assert code == 2
    assert first.startswith("embed.yaml:7: embed.batch_size: takes a whole number from 1")
    assert second.startswith("embed.yaml:8: modul: is not a key")
    assert third == "none.yaml: cannot be read: No such file or directory"
    code, out, _ = told(config, capsys, "check", "embed.yaml", "--json")
    assert (code, json.loads(out)) == (2, {"passed": False, "problems": [first, second]})


def test_check_takes_what_the_command_line_is_going_to_give(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("embed.yaml").write_text(EMBED.replace("data_root: records\n", ""))
    code, out, _ = told(config, capsys, "check", "embed.yaml")
    assert (code, out) == (2, "embed.yaml:1: data_root: is missing; it takes a text\n")
    sets = ["--set", "data_root=r", "--set", "embed.threads=2"]
    assert told(config, capsys, "check", *sets, "embed.yaml")[0] == 0


def test_show_says_where_each_value_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TFX_THREADS", "2")
    options = ["--config", "embed.yaml", "--set", "embed.signature=s", "--batch-size", "5"]
    code, out, err = told(config, capsys, "show", "embed", *options)
    assert (code, err) == (0, "")
    rows = dict(line.split("\t", 1) for line in out.splitlines())
    assert rows["key"] == "value\tfrom"
    assert rows["data_root"] == "records\tembed.yaml:2"
    assert rows["embed.keep"] == "[id]\tembed.yaml:6"
    assert rows["embed.signature"] == "s\t--set embed.signature"
    assert rows["embed.batch_size"] == "5\t--batch-size"
    assert rows["embed.threads"] == "2\tHUB_TFX_THREADS"
    assert rows["embed.normalize"] == "false\tdefault"
    code, out, _ = told(config, capsys, "show", "embed", *options, "--json")
    values = {value["key"]: value for value in json.loads(out)["values"]}
    assert values["embed.keep"] == {"key": "embed.keep", "value": ["id"], "from": "embed.yaml:6"}


def test_schema_prints_what_is_in_docs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(config, capsys, "schema", "embed")
    docs = Path(__file__).parents[2] / "docs" / "schemas" / "embed.json"
    assert (code, out) == (0, docs.read_text())


def test_a_check_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; from hub_tfx.cli.main import run_command; "
        "from hub_tfx_pipelines.config_cli import config; "
        "code = run_command(config, ['check', 'embed.yaml'], 'config'); "
        "heavy = {'apache_beam', 'numpy', 'pyarrow', 'tensorflow', 'tfx'}; "
        "print(code, sorted(heavy & sys.modules.keys()))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "0 []\n"
