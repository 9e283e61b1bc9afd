"""The JSON Schema of a pipeline's file: what it says, and that it refuses what we refuse."""

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from hub_tfx_pipelines.config_file.build import hints_of, paths_of
from hub_tfx_pipelines.config_file.registry import PIPELINES, config_class
from hub_tfx_pipelines.config_file.schema import attributes_of, schema_of

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "pipelines" / "examples").glob("*.yaml"))
EMBED: dict[str, Any] = {
    "pipeline": "embed",
    "data_root": "r",
    "pipeline_root": "p",
    "module": "m",
}


def is_valid(document: Any) -> bool:
    return jsonschema.Draft202012Validator(schema_of("embed")).is_valid(document)


@pytest.mark.parametrize("name", PIPELINES)
def test_it_is_a_schema_and_the_one_in_docs(name: str, update_golden: bool) -> None:
    schema = schema_of(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    golden, text = ROOT / "docs" / "schemas" / f"{name}.json", json.dumps(schema, indent=2) + "\n"
    if update_golden:
        golden.write_text(text)
    assert text == golden.read_text(), "if that is meant: pytest --update-golden"


@pytest.mark.parametrize("name", PIPELINES)
def test_every_key_says_what_it_is(name: str) -> None:
    schema = schema_of(name)
    objects = [schema, *schema["$defs"].values()]
    for properties in (thing["properties"] for thing in objects):
        for key, value in properties.items():
            assert value["description"].endswith("."), key
            assert value["description"][0].isupper() or value["description"][0] in "`{", key
    assert {path[0] for path in paths_of(config_class(name))} == schema["properties"].keys() - {
        "pipeline"
    }


def test_a_docstring_names_no_key_that_is_not() -> None:
    for name in PIPELINES:
        config = config_class(name)
        assert attributes_of(config).keys() == hints_of(config).keys()


def test_it_has_types_choices_ranges_and_defaults() -> None:
    schema = schema_of("embed")
    assert schema["properties"]["pipeline"]["const"] == "embed"
    assert schema["required"] == ["pipeline", "pipeline_root", "data_root", "module"]
    embed = schema["$defs"]["EmbedConfig"]["properties"]
    batch, ratio, timeout = (
        embed[key] for key in ("batch_size", "max_dead_letter_ratio", "call_timeout_s")
    )
    assert (batch["type"], batch["minimum"], batch["default"]) == (["integer", "null"], 1, None)
    assert (ratio["type"], ratio["minimum"], ratio["maximum"]) == ("number", 0, 1)
    assert (timeout["exclusiveMinimum"], "maximum" in timeout) == (0, False)
    assert embed["output_dtype"]["enum"] == ["float32", "float16", "int8"]
    assert embed["keep"] | {"description": ""} == {
        "type": "array",
        "items": {"type": "string"},
        "description": "",
        "default": [],
    }


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_is_valid(file: Path) -> None:
    document = YAML(typ="safe", pure=True).load(io.StringIO(file.read_text()))
    jsonschema.validate(document, schema_of(document["pipeline"]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pipeline": "fine-tune"},
        {"data_root": None},
        {"batch_size": 5},
        {"incremental": "yes"},
        {"example_gen": "cvs"},
        {"embed": {"batch_size": 0}},
        {"embed": {"image_size": [1]}},
        {"embed": {"inputs": {"a": 5}}},
        {"embed": {"keep": "id"}},
        {"input_config": {"splits": [{"name": "a"}]}},
    ],
)
def test_what_is_wrong_is_not_valid(wrong: dict[str, Any]) -> None:
    assert is_valid(EMBED)
    assert not is_valid({**EMBED, **wrong})
