"""JobConfig: annotations are the rules of a config, from Python as from JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx._config import JobConfig, Range
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig


@dataclass(frozen=True)
class PressConfig(JobConfig):
    NAME = "press config"

    title: str
    paper: Literal["plain", "glossy", "card"] = "plain"
    copies: Annotated[int, Range(least=1)] = 1
    margins: tuple[Annotated[float, Range(least=0, below=1)], ...] = ()
    size: Annotated[tuple[int, int], "a width and a height"] | None = None
    corner: tuple[int, int] = (0, 0)
    inks: Mapping[str, Annotated[float, Range(above=0, most=1)]] = field(default_factory=dict)
    deadline_s: Annotated[float, Range(above=0, below=math.inf)] | None = None
    folded: bool = False


CONFIGS = {EmbedConfig: {}, FineTuneConfig: {"label": "topic"}, PressConfig: {"title": "T"}}
KEYS = [(config, key.name) for config in CONFIGS for key in fields(config)]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def made_or_refused(config: type[JobConfig], text: str) -> JobConfig | str:
    """The config, or why it is none."""
    try:
        return config.from_json(text)
    except ConfigError as error:
        return str(error)


@given(st.sampled_from(KEYS), JSON_VALUES)
def test_any_value_of_any_key_is_refused_by_name_or_survives_json(
    key: tuple[type[JobConfig], str], value: Any
) -> None:
    config, name = key
    made = made_or_refused(config, json.dumps({**CONFIGS[config], name: value}))
    if isinstance(made, str):
        assert name in made
    else:
        written = json.loads(made.to_json())
        # Of an unused later field nothing is written, so that earlier outputs can be reused.
        assert written[name] == value if name in written else not value
        assert config.from_json(made.to_json()) == made


@given(st.text())
def test_any_text_is_a_config_or_an_error_that_names_the_config(text: str) -> None:
    made = made_or_refused(EmbedConfig, text)
    assert isinstance(made, EmbedConfig) or "embed config" in made


def test_json_is_sorted_and_a_mapping_or_a_list_is_held_as_json_gives_it_back() -> None:
    inks = MappingProxyType({"red": 1})
    config = PressConfig("T", margins=[0, 0.5], size=[2, 3], inks=inks)  # type: ignore[arg-type]
    assert config == PressConfig("T", margins=(0, 0.5), size=(2, 3), inks={"red": 1})
    assert config.to_json() == (
        '{"copies": 1, "corner": [0, 0], "deadline_s": null, "folded": false, "inks": {"red": 1}, '
        '"margins": [0, 0.5], "paper": "plain", "size": [2, 3], "title": "T"}'
    )
    assert PressConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"title": None}, "title takes a text, not None"),
        ({"paper": "silk"}, "paper takes plain, glossy or card, not 'silk'"),
        ({"paper": ["plain"]}, "paper takes plain, glossy or card, not ['plain']"),
        ({"copies": True}, "copies takes a whole number from 1, not True"),
        ({"copies": 2.0}, "copies takes a whole number from 1, not 2.0"),
        ({"margins": "0"}, "margins takes a list of numbers from 0 below 1, not '0'"),
        ({"margins": [1]}, "margins takes a list of numbers from 0 below 1, not [1]"),
        ({"size": (1, 2, 3)}, "size takes a width and a height or nothing, not (1, 2, 3)"),
        ({"corner": [1]}, "corner takes a list of 2 whole numbers, not [1]"),
        ({"inks": {"red": 0}}, "inks takes a mapping from texts to numbers above 0 to 1, not "),
        ({"inks": {1: 1}}, "inks takes a mapping from texts"),
        ({"inks": [["red", 1]]}, "inks takes a mapping from texts"),
        ({"deadline_s": math.inf}, "deadline_s takes a number above 0 or nothing, not inf"),
        ({"deadline_s": math.nan}, "deadline_s takes a number above 0 or nothing, not nan"),
        ({"folded": 1}, "folded takes true or false, not 1"),
    ],
)
def test_what_an_annotation_excludes_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        PressConfig(**({"title": "T"} | options))
    assert str(raised.value).startswith(complaint)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "the press config is not JSON"),
        ("[" * 100_000, "the press config is not JSON"),
        ("3", "the press config is not an object"),
        ("{}", "press config: `title` is missing, and it has no default"),
        (
            '{"title": "T", "ink": 1}',
            "press config: unknown key 'ink'; the keys are copies,",
        ),
    ],
)
def test_json_that_is_not_a_config_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        PressConfig.from_json(text)
    assert str(raised.value).startswith(complaint)


def test_an_annotation_without_a_rule_is_a_mistake_in_the_program() -> None:
    @dataclass(frozen=True)
    class Strange(JobConfig):
        value: set[int] = field(default_factory=set)

    with pytest.raises(TypeError, match=r"set\[int\] is not an annotation"):
        Strange()
