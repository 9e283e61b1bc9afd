"""The section `platform` of a config file: what it says, what a step gets, and its mistakes."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.errors import ConfigError, ConfigFileError
from hub_tfx_pipelines.config_file.build import build
from hub_tfx_pipelines.config_file.document import read_document
from hub_tfx_pipelines.config_file.plain import rows_of, to_yaml
from hub_tfx_pipelines.config_file.schema import schema_of
from hub_tfx_pipelines.configs import EmbedPipelineConfig
from hub_tfx_pipelines.platform import (
    PlatformConfig,
    SecretKey,
    StepPlatform,
    StepResources,
    Toleration,
    bytes_of,
    cpus,
    seconds,
)

EMBED = """\
pipeline: embed
data_root: records
pipeline_root: root
module: text
"""
PLATFORM = """\
platform:
  image: registry.example.org/hub-tfx:1
  service_account: trainer
  env: {TF_NUM_INTRAOP_THREADS: 4, MODE: "no"}
  secrets:
    DB_PASSWORD: mlmd/password
  defaults:
    cpu: 2
    memory: 4Gi
    retries: 2
    node_selector: {example.org/disk: ssd}
    tolerations:
    - {key: cloud.google.com/gke-spot, value: "true", effect: NoSchedule}
  steps:
    EmbeddingGenerator:
      cpu: 500m
      gpu: 1
      gpu_type: nvidia-tesla-t4
      timeout: 1h30m
      node_selector: {example.org/zone: a}
      tolerations: [{operator: Exists, effect: NoExecute}]
      env: {MODE: fast}
      image: registry.example.org/gpu@sha256:DIGEST
    ModuleResolver: {retries: 0}
""".replace("DIGEST", "0" * 64)
SPOT = Toleration(key="cloud.google.com/gke-spot", value="true", effect="NoSchedule")
ANY = Toleration(operator="Exists", effect="NoExecute")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, *sets: str) -> Any:
    Path("embed.yaml").write_text(text)
    return build(read_document("embed.yaml", sets, "embed"), EmbedPipelineConfig)


def told(text: str) -> str:
    with pytest.raises(ConfigFileError) as raised:
        read(text)
    (problem,) = raised.value.problems
    return problem


def test_a_section_is_a_config() -> None:
    assert read(EMBED + PLATFORM).platform == PlatformConfig(
        image="registry.example.org/hub-tfx:1",
        service_account="trainer",
        env={"TF_NUM_INTRAOP_THREADS": "4", "MODE": "no"},
        secrets={"DB_PASSWORD": SecretKey("mlmd", "password")},
        defaults=StepResources(
            cpu="2",
            memory="4Gi",
            retries=2,
            node_selector={"example.org/disk": "ssd"},
            tolerations=(SPOT,),
        ),
        steps={
            "EmbeddingGenerator": StepPlatform(
                cpu="500m",
                gpu=1,
                gpu_type="nvidia-tesla-t4",
                timeout="1h30m",
                node_selector={"example.org/zone": "a"},
                tolerations=(ANY,),
                env={"MODE": "fast"},
                image=f"registry.example.org/gpu@sha256:{'0' * 64}",
            ),
            "ModuleResolver": StepPlatform(retries=0),
        },
    )
    assert read(EMBED).platform == PlatformConfig()


def test_a_step_gets_its_own_and_otherwise_what_all_get() -> None:
    platform = read(EMBED + PLATFORM).platform
    generator, resolver, other = map(
        platform.of, ("EmbeddingGenerator", "ModuleResolver", "ImportExampleGen")
    )
    assert (generator.cpu, generator.memory, generator.retries) == ("500m", "4Gi", 2)
    assert (resolver.cpu, resolver.retries, resolver.gpu) == ("2", 0, None)
    assert generator.node_selector == {"example.org/disk": "ssd", "example.org/zone": "a"}
    assert generator.tolerations == (SPOT, ANY)
    assert generator.env == {"TF_NUM_INTRAOP_THREADS": "4", "MODE": "fast"}
    assert generator.secrets == resolver.secrets == {"DB_PASSWORD": SecretKey("mlmd", "password")}
    assert (other.tolerations, other.image) == ((SPOT,), platform.image)
    assert PlatformConfig().of("any") == StepPlatform()


def test_it_is_written_read_and_shown_key_by_key() -> None:
    config = read(EMBED + PLATFORM)
    text = to_yaml("embed", config)
    assert "\n  steps:\n    EmbeddingGenerator:\n      cpu: " in text
    assert read(text) == config
    Path("embed.yaml").write_text(EMBED + PLATFORM)
    rows = {key: row for key, *row in rows_of(read_document("embed.yaml", (), None), config)}
    assert rows["platform.secrets"] == [{"DB_PASSWORD": "mlmd/password"}, "embed.yaml:9"]
    assert rows["platform.steps.EmbeddingGenerator.gpu"] == [1, "embed.yaml:21"]
    assert rows["platform.steps.ModuleResolver.gpu"] == [None, "default"]


def test_a_setting_reaches_a_step() -> None:
    config = read(EMBED + PLATFORM, "platform.steps.EmbeddingGenerator.gpu=4")
    assert config.platform.steps["EmbeddingGenerator"].gpu == 4
    assert config.platform.steps["EmbeddingGenerator"].cpu == "500m"


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("cpu: 2", "cpu: two", 12, "platform.defaults.cpu: 'two' is not a number of CPUs: write "),
        ("cpu: 2", "cpu: 0", 12, "'0' is not a number of CPUs"),
        ("cpu: 2", "cpu: 0x2", 12, "0x2 is not a text to YAML"),
        ("cpu: 2", "cpu: 4Gi", 12, "'4Gi' is not a number of CPUs"),
        ("cpu: 2", "cpus: 2", 12, "platform.defaults.cpus: is not a key; .*nearest: platform.def"),
        ("memory: 4Gi", "memory: 4", 13, "'4' is not an amount of memory: write 512Mi, 4Gi or"),
        ("memory: 4Gi", "memory: 4GB", 13, "'4GB' is not an amount of memory"),
        ("memory: 4Gi", "memory: 500m", 13, "'500m' is not an amount of memory"),
        ("1h30m", "90", 23, "platform.steps.EmbeddingGenerator.timeout: '90' is not a duration"),
        ("1h30m", "0s", 23, "'0s' is not a duration: write 90s, 30m, 2h or 1h30m"),
        ("1h30m", "30m1h", 23, "'30m1h' is not a duration"),
        ("retries: 2", "retries: -1", 14, "takes a whole number from 0 to 100 or nothing, not"),
        ("retries: 2", "retry_delay: 1m", 11, "defaults have retry_delay, but nothing has retri"),
        ("      gpu: 1\n", "", 18, "steps.EmbeddingGenerator has gpu_type, but no gpu: give both"),
        ("gpu: 1", "gpu: 1.5", 21, "takes a whole number from 0 to 64 or nothing, not '1.5'"),
        (
            "example.org/hub",
            "example.org/Hub",
            6,
            "is not the name of a container image: write one such",
        ),
        ("trainer", "The Trainer", 7, "'The Trainer' is not a service account: write one such "),
        ("{MODE: fast", "{1A: fast", 26, "env has '1A', which is not the name of an environment "),
        ("{MODE: fast", "{DB_PASSWORD: /x", 18, "env and secrets both have DB_PASSWORD: remove"),
        (
            "MODE: fast",
            "MODE: 'a{{b}}'",
            26,
            r"env.MODE: 'a{{b}}' holds {{, which platforms replac",
        ),
        ("disk: ssd", "di sk: ssd", 15, "node_selector: 'example.org/di sk' is not the key of a "),
        ("disk: ssd", "disk: s s", 15, "'s s' is not the value of a label: write one such as "),
        ('value: "true", ', "", 17, "value is for operator Equal, which needs one; Exists takes"),
        ("operator: Exists", "value: a", 25, "key is missing: name that of the taint, or take "),
        ("operator: Exists", "operator: exist", 25, "takes Equal or Exists, .*nearest: Exists"),
        ("NoExecute", "NoExecutes", 25, "not 'NoExecutes'; nearest: NoExecute"),
        (
            "{example.org/zone: a}",
            "{cloud.google.com/gke-accelerator: a}",
            24,
            "node_selector names cloud.google.com/gke-accelerator, and so does gpu_type",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(old: str, new: str, line: int, problem: str) -> None:
    assert PLATFORM.count(old) == 1
    problems = told(EMBED + PLATFORM.replace(old, new))
    assert problems.startswith(f"embed.yaml:{line}: platform.")
    with pytest.raises(ConfigError, match=problem):
        raise ConfigError(problems)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mlmd/password", "hunter2"),
        ("mlmd/password", "hunter2/"),
        ("mlmd/password", "1234567"),
        ("mlmd/password", "Hunter2/key"),
        ("MODE: fast", "API_TOKEN: hunter2"),
        ("MODE: fast", "dbPassword: hunter2"),
        ("MODE: fast", "AWS_SECRET_ACCESS_KEY: hunter2"),
        ("MODE: fast", "PLACE: 'postgresql://me:hunter2@db/runs'"),
        ("MODE: fast", "A: ghp_hunter2"),
        ("MODE: fast", "A: '-----BEGIN PRIVATE KEY----- hunter2'"),
    ],
)
def test_a_secret_itself_is_refused_and_not_repeated(old: str, new: str) -> None:
    problem = told(EMBED + PLATFORM.replace(old, new))
    assert "NAME/KEY" in problem
    assert "unter2" not in problem
    assert "1234567" not in problem


@pytest.mark.parametrize(
    "variable",
    [
        "GOOGLE_APPLICATION_CREDENTIALS: /var/secrets/key.json",
        "TOKENIZERS_PARALLELISM: 'false'",
        "PLACE: 'grpc://db:8080'",
        "PASSWORD_ENV: DB_PASSWORD",
        "AWS_ACCESS_KEY_ID_FILE: /a",
    ],
)
def test_a_variable_that_only_looks_alike_is_taken(variable: str) -> None:
    read(EMBED + PLATFORM.replace("MODE: fast", variable))


def test_a_step_that_a_pipeline_does_not_have_is_told_with_the_nearest() -> None:
    platform = PlatformConfig(steps={"EmbedingGenerator": StepPlatform(cpu="1")})
    with pytest.raises(
        ConfigError,
        match=r"platform\.steps: 'EmbedingGenerator' is not a step of this pipeline; its steps are "
        "ModuleResolver, EmbeddingGenerator; nearest: EmbeddingGenerator",
    ):
        platform.check_steps(["ModuleResolver", "EmbeddingGenerator"])
    platform.check_steps(["EmbedingGenerator"])


def test_a_number_is_its_text_and_so_to_the_schema() -> None:
    assert StepResources(cpu=2).cpu == "2"  # type: ignore[arg-type]
    validator = jsonschema.Draft202012Validator(schema_of("embed"))
    document = {"pipeline": "embed", "data_root": "r", "pipeline_root": "p", "module": "m"}
    for cpu, is_valid in ((2, True), (0.5, True), ("500m", True), (None, True), (True, False)):
        platform = {"defaults": {"cpu": cpu}, "env": {"A": 1}}
        assert validator.is_valid({**document, "platform": platform}) == is_valid
    assert not validator.is_valid({**document, "platform": {"steps": {"A": {"cpus": 1}}}})


def test_amounts_are_those_of_kubernetes() -> None:
    assert [cpus(text) for text in ("2", "0.5", "1500m")] == [2, 0.5, 1.5]
    assert [bytes_of(text) for text in ("1k", "1Ki", "1.5G", "4Gi")] == [1e3, 1024, 1.5e9, 2**32]


@given(st.tuples(*[st.integers(0, 9999)] * 4).filter(any))
def test_a_duration_is_the_sum_of_its_parts(parts: tuple[int, ...]) -> None:
    text = "".join(f"{n}{unit}" for n, unit in zip(parts, "dhms", strict=True) if n)
    days, hours, minutes, rest = parts
    assert seconds(StepResources(timeout=text).timeout or "") == (
        ((days * 24 + hours) * 60 + minutes) * 60 + rest
    )


@given(st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,9}[a-z0-9])?/[-._A-Za-z0-9]{1,9}\Z"))
def test_a_reference_to_a_secret_is_read_as_it_is_written(text: str) -> None:
    try:
        reference = SecretKey.parse(text)
    except ConfigError:
        assert any(part in text.partition("/")[0] for part in ("..", ".-", "-."))
    else:
        assert str(reference) == text


def test_hostile_texts_are_refused_at_once() -> None:
    for field in ("image", "service_account"):
        for text in ("a" * 10**5 + "!", "a-" * 10**5, "a.a" * 10**5, ":" * 10**5, "a@" * 10**5):
            with pytest.raises(ConfigError):
                PlatformConfig(**{field: text})
    PlatformConfig(env={"A": "://" + ":" * 10**5, "B": "://" * 10**5})
