"""Files of YAML that hold the config of a pipeline: read, written, and wrong in every way."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from cards import CARD
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_tfx._config import Checked, Form, Range
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigFileError, HubTfxError
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.lineage.connection import Connection
from hub_tfx.repository.card import Card, read_card
from hub_tfx.store.lock_file import Locked, LockFile, add_to_lock_file
from hub_tfx_pipelines.config_file.build import build, core_of, has_default, hints_of, is_optional
from hub_tfx_pipelines.config_file.document import MAX_BYTES, read_document
from hub_tfx_pipelines.config_file.plain import to_yaml
from hub_tfx_pipelines.config_file.registry import PIPELINES, config_class
from hub_tfx_pipelines.configs import (
    EmbedPipelineConfig,
    FineTunePipelineConfig,
    Gate,
    Publication,
)
from hub_tfx_pipelines.platform import SecretKey, Toleration
from hub_tfx_pipelines.splits import InputConfig, InputSplit, OutputConfig, OutputSplit

EMBED = """\
pipeline: embed
data_root: records
pipeline_root: root
module: text
"""
FINE_TUNE = """\
pipeline: fine-tune
data_root: records
pipeline_root: root
module: text
fine_tune:
  label: topic
"""
DIGEST = "ab" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str | bytes, *sets: str) -> Any:
    """The config of a file."""
    file = Path("config.yaml")
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    document = read_document(str(file), sets, None)
    name = document.get(("pipeline",)).text  # type: ignore[union-attr]
    return build(document, config_class(name))


def problems(text: str | bytes, *sets: str) -> tuple[str, ...]:
    with pytest.raises(ConfigFileError) as raised:
        read(text, *sets)
    assert raised.value.exit_code == 2
    assert raised.value.lines == raised.value.problems
    return raised.value.problems


# --- What a file says ----------------------------------------------------------------------------


def test_a_file_is_the_config_of_its_keys() -> None:
    Path("card.md").write_text(CARD)
    assert read(
        f"""--- # A comment.
pipeline: fine-tune
pipeline_name: words
data_root: gs://bucket/records
pipeline_root: root
metadata: mysql://me@db.example.org/mlmd?password_env=WORD
module: https://example.org/text/1
module_digest: {DIGEST.upper()}
example_gen: csv
input_config:
  splits:
  - name: all
    pattern: "span-{{SPAN}}/*"
output_config:
  splits: [{{name: train, hash_buckets: 9}}, {{name: eval, hash_buckets: 1}}]
  partition_feature_name: user
beam_pipeline_args: [--direct_num_workers=2]
texts: [title, body]
fine_tune:
  label: topic
  classes: [a, "no"]
  class_weights: {{a: 2}}
  steps: 5
  learning_rate: 1e-3
  freeze: true
  image_size: [2, 3]
  signature: ~
gate:
  config: {{label: topic, thresholds: ["probe_accuracy>=0.8"]}}
publication:
  repository: modules
  name: acme/words
  card: card.md
  aliases: [stable]
"""
    ) == FineTunePipelineConfig(
        pipeline_name="words",
        data_root="gs://bucket/records",
        pipeline_root="root",
        metadata=Connection.parse("mysql://me@db.example.org/mlmd?password_env=WORD"),
        module="https://example.org/text/1",
        module_digest=DIGEST,
        example_gen="csv",
        input_config=InputConfig((InputSplit("all", "span-{SPAN}/*"),)),
        output_config=OutputConfig((OutputSplit("train", 9), OutputSplit("eval", 1)), "user"),
        beam_pipeline_args=("--direct_num_workers=2",),
        texts=("title", "body"),
        fine_tune=FineTuneConfig(
            "topic",
            classes=("a", "no"),
            class_weights={"a": 2.0},
            steps=5,
            learning_rate=0.001,
            freeze=True,
            image_size=(2, 3),
        ),
        gate=Gate(config=EvaluateConfig(label="topic", thresholds=("probe_accuracy>=0.8",))),
        publication=Publication(
            repository="modules", name="acme/words", card=read_card("card.md"), aliases=("stable",)
        ),
    )


def test_what_is_not_there_has_its_default() -> None:
    assert read(EMBED) == EmbedPipelineConfig(
        data_root="records", pipeline_root="root", module="text"
    )
    assert read(f"{EMBED}embed: {{}}\nstate_dir:\n") == read(EMBED)


# --- Written and read back ------------------------------------------------------------------------

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"))
OF_FORMS = {
    "the handle of a module": st.sampled_from(["text", "https://example.org/text/1", "~/no"]),
    "a SHA-256 digest in hex": st.just(DIGEST),
    "a name as publisher/model": st.just("acme/words"),
    "an alias": st.sampled_from(["stable", "no", "1e3"]),
    "where ML Metadata is": st.sampled_from(["m.sqlite", "grpc://h:1"]).map(Connection.parse),
    "the name of a container image": st.sampled_from(["hub-tfx", "r.org:5000/a/b:1"]),
    "a service account": st.sampled_from(["runner", "me@p.iam.gserviceaccount.com"]),
    "a number of CPUs": st.sampled_from(["2", "0.5", "500m"]),
    "an amount of memory": st.sampled_from(["4Gi", "1.5G"]),
    "a duration": st.sampled_from(["90s", "1h30m"]),
    "the value of a label": st.sampled_from(["pool-1", "no", "5"]),
    "the value of a variable": st.sampled_from(["", "no", "5", "a: #b"]),
    "a Secret and a key of it as NAME/KEY": st.just(SecretKey("mlmd", "password")),
    "a directory, s3://… or gs://…": st.sampled_from(["generations", "s3://b/no"]),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation."""
    if is_optional(hint):
        [inner] = [argument for argument in get_args(hint) if argument is not type(None)]
        return st.none() | values(inner)
    if get_origin(hint) is Annotated:
        inner, extra = get_args(hint)
        if isinstance(extra, Form):
            return OF_FORMS[extra.words] if extra.words in OF_FORMS else st.builds(MADE[extra.held])
        return (
            values(inner).filter(extra.__contains__) if isinstance(extra, Range) else values(inner)
        )
    core = core_of(hint)
    if isinstance(core, type) and issubclass(core, Checked):
        return configs(core)
    if get_origin(core) is Literal:
        return st.sampled_from(get_args(core))
    if get_origin(core) is Mapping:
        return st.dictionaries(TEXTS, values(get_args(core)[1]), max_size=2)
    if get_origin(core) is tuple:
        inner = get_args(core)
        if inner[-1] is ...:
            return st.lists(values(inner[0]), max_size=2).map(tuple)
        return st.tuples(*map(values, inner))
    plain = {bool: st.booleans(), int: st.integers(0, 500), float: st.floats(0, 10)}
    return TEXTS if core is str else plain[core]


def a_card() -> Card:
    Path("card.md").write_text(CARD)
    return read_card("card.md")


def a_lock_file() -> LockFile:
    add_to_lock_file("lock.json", {"https://example.org/text/1": Locked("0" * 64)})
    return LockFile.read("lock.json")


MADE: Mapping[type, Any] = {Card: a_card, LockFile: a_lock_file}
OF_CONFIGS: Mapping[Any, dict[str, Any]] = {
    FineTunePipelineConfig: {"module": "text"},
    EvaluateConfig: {"label": "no"},
    InputConfig: {"splits": (InputSplit("1", "{SPAN}/*"), InputSplit("eval", "*: #"))},
    OutputConfig: {"splits": (OutputSplit("all", 1),)},
    Toleration: {"operator": "Exists"},
}
"""What makes a config one, where not any value does."""


@st.composite
def configs(draw: Any, config: Any) -> Any:
    """A config with some keys that are not the default: those that fit the ones before."""
    hints, given = hints_of(config), dict(OF_CONFIGS.get(config, {}))
    for key in sorted(fields(config), key=has_default):
        if key.name in given:
            continue
        if not has_default(key):
            given[key.name] = draw(values(hints[key.name]))
        elif draw(st.integers(0, 3)) == 0:
            more = {**given, key.name: draw(values(hints[key.name]))}
            with suppress(HubTfxError):
                config(**more)
                given = more
    return config(**given)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_config_that_is_written_and_read_is_the_same(name: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(configs(config_class(name)))
    def is_the_same(config: Any) -> None:
        assert read(to_yaml(name, config)) == config

    is_the_same()


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("embde: {}", "5: embde: is not a key; allowed are pipeline, pipeline_name, "),
        ("embde: {}", "; nearest: embed"),
        ("batch_size: 5", "; nearest: embed.batch_size"),
        ("embed: {batchsize: 5}", "5: embed.batchsize: is not a key; allowed are signature, "),
        ("embed: {batchsize: 5}", "; nearest: embed.batch_size"),
        ("'a b': 5", "5: a b: 'a b' is not a key; allowed are "),
        ("module: other", "5: module: is there twice, first on line 4: remove one of them"),
        ("embed:\n  keep: [a]\n  keep: [b]", "7: embed.keep: is there twice, first on line 6: "),
        ("embed: {inputs: {a: b, a: c}}", "5: embed.inputs.a: is there twice: remove one of them"),
        ("embed: [a]", "5: embed: takes the keys signature, inputs, "),
        ("embed:", "5: embed: is empty; it takes the keys signature, "),
        ("example_gen: cvs", "5: example_gen: takes import or csv, not 'cvs'; nearest: csv"),
        ("example_gen: [csv]", "5: example_gen: takes import or csv, not a list"),
        ("pipeline_name: 5", "5: pipeline_name: 5 is not a text to YAML: put it in quotes"),
        ("pipeline_name: no", "5: pipeline_name: no is not a text to YAML: put it in quotes"),
        ("pipeline_name: 2026-11-29", "5: pipeline_name: 2026-11-29 is not a text to YAML: put "),
        ("pipeline_name:", "5: pipeline_name: is empty; it takes a text"),
        ("pipeline_name: {a: b}", "5: pipeline_name: takes a text, not keys and values"),
        ('pipeline_name: "a\\0"', "5: pipeline_name: 'a\\x00' holds a character that no name may "),
        ("incremental: yes", "5: incremental: takes true or false, not 'yes'"),
        ('incremental: "true"', "5: incremental: takes true or false, not 'true'"),
        ("embed: {batch_size: 0}", "5: embed.batch_size: takes a whole number from 1 or nothing, "),
        ("embed: {batch_size: 1.5}", "not '1.5'"),
        ("embed: {batch_size: 0x10}", "not '0x10'"),
        ('embed: {batch_size: "5"}', "not '5'"),
        (f"embed: {{batch_size: {'9' * 5000}}}", "5: embed.batch_size: takes a whole number "),
        ("embed: {call_timeout_s: soon}", "5: embed.call_timeout_s: takes a number above 0"),
        ("embed: {call_timeout_s: .nan}", "5: embed.call_timeout_s: takes a number above 0"),
        ("embed: {call_timeout_s: 1e400}", "takes a number above 0, not '1e400'"),
        ("embed: {max_dead_letter_ratio: 1e1}", "takes a number from 0 to 1, not '1e1'"),
        ("embed: {keep: id}", "5: embed.keep: takes a list of texts, not 'id': write [id]"),
        ("embed:\n  keep:\n  - id\n  - 5", "8: embed.keep[1]: 5 is not a text to YAML: put it "),
        ("embed: {image_size: [1]}", "takes a height and a width in pixels or nothing, not a list"),
        ("embed: {image_size: [1, x]}", "5: embed.image_size[1]: takes a whole number from 1, "),
        ("embed: {inputs: [a]}", "5: embed.inputs: takes a mapping from texts to texts, not a "),
        ("embed: {inputs: {a: 5}}", "5: embed.inputs.a: 5 is not a text to YAML: put it in quotes"),
        ("module_digest: abc", "5: module_digest: 'abc' is not a digest: give all of its 64 hex "),
        (f"preprocessor_digest: {DIGEST}", "5: preprocessor_digest: preprocessor_digest is that "),
        (
            "preprocessor: https://me:word@e.org/1",
            "5: preprocessor: the handle https://e.org/1 has ",
        ),
        (
            "metadata: mysql://me:word@h/d",
            "5: metadata: the place of ML Metadata is wrong: its URL ",
        ),
        ("metadata: a\nmetadata_path: b", "5: metadata: metadata and metadata_path are the same"),
        ("input_config: {}", "5: input_config.splits: is missing; it takes a list of mappings"),
        (
            "input_config: {splits: []}",
            "5: input_config.splits: splits is empty: name at least one",
        ),
        ("input_config: {splits: [{name: a}]}", "5: input_config.splits[0].pattern: is missing"),
        (
            "output_config: {splits: [{name: a, hash_buckets: 1}, {name: a, hash_buckets: 1}]}",
            "5: output_config.splits: splits names 'a' twice: give each split a name of its own",
        ),
        (
            "output_config:\n  splits:\n  - name: a\n    hash_buckets: 0",
            "8: output_config.splits[0].hash_buckets: takes a whole number from 1 to 2147483647, ",
        ),
        ("embed: &a {}", "5: anchors and aliases are not taken: write the value out"),
        ("embed: *a", "5: anchors and aliases are not taken"),
        ("module_fn: !!python/object:os.system x", "5: tags are not taken: remove "),
        ("embed: {a: {[b]: c}}", "5: a key is a list or a mapping: it takes a text"),
        ("embed: [", "6: it is not YAML: "),
        ("\tembed: x", "5: it is not YAML: "),
        ("---\na: b", "5: it holds two documents"),
        (f"embed: {'[' * 30}{']' * 30}", "5: it is nested more than 20 deep"),
        ("a: \x1b[31m", "5: it holds the character '\\x1b': remove it"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_do(wrong: str, problem: str) -> None:
    (told,) = problems(f"{EMBED}{wrong}\n")
    assert told.startswith("config.yaml:")
    assert problem in told
    assert "word@" not in told
    assert len(told) < 700


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"\xff", "config.yaml:1: it is not UTF-8: save it in this encoding"),
        (b"#" * (MAX_BYTES + 1), "config.yaml:1: a config file has at most 64 KiB: shorten it"),
        ("", "config.yaml:1: pipeline: is missing; it takes embed, fine-tune or retrain"),
        ("[a]", "config.yaml:1: it is not a list of keys and values, as `pipeline: embed`"),
        ("%YAML 1.1\n---\na: b", "config.yaml:2: directives and `--- ` are not taken"),
        (
            "\n\npipeline: embd",
            "config.yaml:3: pipeline: takes embed, fine-tune or retrain, not 'embd'; near",
        ),
        (
            "pipeline: [embed]",
            "config.yaml:1: pipeline: takes embed, fine-tune or retrain, not a list or a ",
        ),
        (f"{EMBED}pipeline: embed", "config.yaml:5: pipeline: is there twice, first on line 1: "),
        (
            "pipeline: embed\ndata_root: a\nmodule: m",
            "config.yaml:1: pipeline_root: is missing; it",
        ),
        (
            f"{FINE_TUNE}gate: {{}}",
            "config.yaml:7: gate.config: is missing; it takes the keys label",
        ),
        (f"{FINE_TUNE}gate:\n  config: {{}}", "config.yaml:8: gate.config: config names neither "),
        (f"{FINE_TUNE}module_fn: a:b", "config.yaml:1: give either module, the handle of the "),
        (f"{FINE_TUNE}  unfreeze_after: 1", "config.yaml:7: fine_tune.unfreeze_after: unfreeze_"),
        (f"{FINE_TUNE}  task: similarity", "config.yaml:6: fine_tune: pair names the second "),
        (
            f"{FINE_TUNE}gate:\n  config:\n    label: topic\n    thresholds: [beauty>=1]",
            "config.yaml:10: gate.config.thresholds: threshold 'beauty>=1': 'beauty' is not a mea",
        ),
        (
            f"{FINE_TUNE}publication: {{repository: r, name: a/b, card: config.yaml}}",
            "config.yaml:7: publication.card: config.yaml:1: the card does not start with a line",
        ),
        (
            f"{FINE_TUNE}publication: {{repository: r, name: a, card: c}}",
            "config.yaml:7: publication.name: 'a' is not the name of a module: it has two parts",
        ),
    ],
)
def test_what_is_wrong_as_a_whole_is_told_first(text: str | bytes, problem: str) -> None:
    assert problems(text)[0].startswith(problem)


def test_what_is_published_is_judged() -> None:
    Path("card.md").write_text(CARD)
    given = "publication: {repository: r, name: a/b, card: card.md}"
    (told,) = problems(FINE_TUNE + given)
    assert told.startswith("config.yaml:7: publication: publication needs a gate, since what is ")


def test_all_mistakes_are_told_at_once_by_line() -> None:
    wrong = f"{FINE_TUNE}  steps: 0\n  tsak: x\nkept: a\nmodule_digest: x\npipeline_root:\n"
    lines = [problem.split(":")[1] for problem in problems(wrong.replace("records", "[]"))]
    assert lines == ["2", "7", "8", "9", "10", "11"]


def test_there_is_an_end_of_what_is_told_and_of_the_time_it_takes() -> None:
    told = problems(EMBED + "".join(f"key{i}: 1\n" for i in range(5000)))
    assert len(told) == 51
    assert told[-1] == "config.yaml:55: there are too many errors to tell the rest"


def test_a_file_that_cannot_be_read_is_an_error_that_names_it() -> None:
    for file, reason in {
        "none.yaml": "No such file or directory",
        ".": "it is a directory, not a file",
        "/dev/zero": "it is a device, not a file",
        "a\0b": "embedded null byte",
    }.items():
        with pytest.raises(ConfigFileError, match=f"cannot be read: .*{reason}"):
            read_document(file, (), None)


# --- `--set` --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "changed"),
    [
        ("module=other", {"module": "other"}),
        ("pipeline_name=5", {"pipeline_name": "5"}),
        ("pipeline_name=no", {"pipeline_name": "no"}),
        ("incremental=true", {"incremental": True}),
        ("state_dir=gs://b/a=b", {"state_dir": "gs://b/a=b"}),
        ("embed.keep=[a, 5]", {"embed": EmbedConfig(keep=("a", "5"))}),
        ("embed.batch_size=5", {"embed": EmbedConfig(batch_size=5)}),
        ("embed.batch_size=", {}),
        ("embed.inputs.text=body", {"embed": EmbedConfig(inputs={"text": "body"})}),
        ("embed.inputs={a.b: c}", {"embed": EmbedConfig(inputs={"a.b": "c"})}),
        ('pipeline_name="a: b"', {"pipeline_name": "a: b"}),
        ("embed={batch_size: 5}", {"embed": EmbedConfig(batch_size=5)}),
    ],
)
def test_a_setting_takes_the_place_of_what_the_file_says(
    setting: str, changed: dict[str, Any]
) -> None:
    expected = {"data_root": "records", "pipeline_root": "root", "module": "text", **changed}
    assert read(EMBED, setting) == EmbedPipelineConfig(**expected)


def test_the_last_setting_wins_and_others_stay() -> None:
    sets = ("embed.batch_size=1", "embed.batch_size=2", "embed.keep=[a]")
    assert read(f"{EMBED}embed: {{threads: 3}}", *sets).embed == EmbedConfig(
        batch_size=2, keep=("a",), threads=3
    )


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("module", "--set takes KEY.KEY=VALUE, not 'module'"),
        ("=5", "--set takes KEY.KEY=VALUE, not '=5'"),
        ("embed..keep=[a]", "--set takes KEY.KEY=VALUE, not 'embed..keep=[a]'"),
        ("emebd.keep=[a]", "--set emebd.keep: emebd: is not a key; allowed are "),
        ("embed.kep=[a]", "--set embed.kep: is not a key; allowed are signature, "),
        (
            "embed.batch_size=0",
            "--set embed.batch_size: takes a whole number from 1 or nothing, not",
        ),
        ("module.a=b", "--set module.a: module: holds no keys: give it a whole value"),
        ("pipeline=fine-tune", "--set pipeline: is what the file says: change it there"),
        ("module=[", "--set module: it is not YAML: "),
        (
            "module=*a",
            "--set module: anchors and aliases are not taken: write the value out, or put",
        ),
        ("gate.splits=[a]", "--set gate.splits: gate: is not a key"),
    ],
)
def test_a_wrong_setting_is_told_by_its_key(setting: str, problem: str) -> None:
    (told,) = problems(EMBED, setting)
    assert told.startswith(problem)


def test_what_a_setting_leaves_out_is_told_by_the_setting() -> None:
    (told,) = problems(FINE_TUNE, "gate.splits=[a]")
    assert told.startswith("--set gate.splits: gate.config: is missing; it takes the keys label, ")


@given(TEXTS.filter(lambda text: "=" not in text), TEXTS)
@settings(max_examples=50)
def test_any_setting_is_taken_or_told(key: str, value: str) -> None:
    told: tuple[str, ...] = ()
    try:
        read(EMBED, f"{key}={value}")
    except ConfigFileError as error:
        told = error.problems
    assert all("--set" in problem for problem in told)


# --- Pipelines to come ----------------------------------------------------------------------------


def test_a_new_dataclass_needs_no_other_code() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Window(Checked):
        last: Annotated[int, Range(least=1)]

    @dataclass(frozen=True, kw_only=True)
    class Retrain(EmbedPipelineConfig):
        window: Window | None = None

    Path("config.yaml").write_text(f"{EMBED}window:\n  last: 0\n")
    document = read_document("config.yaml", (), None)
    with pytest.raises(ConfigFileError, match=r"6: window\.last: takes a whole number"):
        build(document, Retrain)
    assert build(read_document("config.yaml", ["window.last=2"], None), Retrain).window == Window(
        last=2
    )
