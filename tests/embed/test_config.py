"""EmbedConfig and the plan it makes with a module and an input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import make_plan
from hub_tfx.errors import ConfigError, SignatureError
from hub_tfx.module.spec import CALL, GraphVariant, ModuleSpec, SignatureSpec, TensorInfo

TEXT = TensorInfo("string", (None,))
IMAGE = TensorInfo("float32", (None, 8, 8, 3))
VECTOR = TensorInfo("float32", (None, 4))
NAMES = st.text(min_size=1, max_size=8)


def spec(inputs, outputs=None, name="default", **others):
    signatures = {name: SignatureSpec(inputs, outputs or {"default": VECTOR})}
    signatures |= {other: SignatureSpec(*sides) for other, sides in others.items()}
    return ModuleSpec("saved_model", (GraphVariant(("serve",), signatures),))


def names(plan):
    return {column.key: column.name for column in plan.outputs}


@given(
    st.builds(
        EmbedConfig,
        signature=st.none() | NAMES,
        inputs=st.dictionaries(NAMES, NAMES),
        outputs=st.dictionaries(NAMES, NAMES),
        keep=st.lists(NAMES).map(tuple),
        batch_size=st.integers(1, 1 << 20),
        text_encoding=st.sampled_from(["utf-8", "bytes"]),
        max_dead_letter_ratio=st.floats(0, 1),
    )
)
def test_a_config_survives_json(config):
    assert EmbedConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"sgnature": "x"}', "'sgnature'"),
        ('{"batch_size": 0}', "at least 1"),
        ('{"max_dead_letter_ratio": 2}', "from 0 to 1"),
        ('{"text_encoding": "latin-1"}', "utf-8 or bytes"),
        ('{"keep": "id"}', "keep is a list, not 'id'"),
        ('{"batch_size": "many"}', "wrong type"),
    ],
)
def test_a_wrong_config_is_refused_by_name(text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        EmbedConfig.from_json(text)


@pytest.mark.parametrize(
    ("info", "available", "feature"),
    [
        (TEXT, ["default", "text"], "default"),
        (TEXT, ["id", "text"], "text"),
        (IMAGE, ["id", "image"], "image"),
    ],
)
def test_a_sole_input_takes_the_feature_of_its_name_or_the_usual_one(info, available, feature):
    plan = make_plan(EmbedConfig(), spec({"default": info}), available)
    assert plan.features == {"default": feature}


def test_several_inputs_take_the_features_of_their_names():
    plan = make_plan(EmbedConfig(), spec({"a": TEXT, "b": VECTOR}), ["a", "b"])
    assert plan.features == {"a": "a", "b": "b"}


def test_the_callable_object_comes_before_serving_default():
    module = spec({"inputs": TEXT}, name=CALL, serving_default=({"x": TEXT}, {"y": VECTOR}))
    assert make_plan(EmbedConfig(), module, ["text"]).signature == CALL


def test_a_sole_output_becomes_embedding_and_several_keep_their_keys():
    sole = make_plan(EmbedConfig(), spec({"x": TEXT}), ["x"])
    several = make_plan(EmbedConfig(), spec({"x": TEXT}, {"a": VECTOR, "b": VECTOR}), ["x"])
    assert names(sole) == {"default": "embedding"}
    assert names(several) == {"a": "a", "b": "b"}


def test_named_outputs_are_the_only_ones():
    config = EmbedConfig(outputs={"b": "vector"})
    plan = make_plan(config, spec({"x": TEXT}, {"a": VECTOR, "b": VECTOR}), ["x"])
    assert names(plan) == {"b": "vector"}


def test_what_is_read_is_inputs_and_kept_features_once_each():
    plan = make_plan(EmbedConfig(keep=("id", "x")), spec({"x": TEXT}), ["x", "id", "other"])
    assert plan.needed == ("x", "id")


@pytest.mark.parametrize(
    ("config", "error", "complaint"),
    [
        (EmbedConfig(signature="zip"), SignatureError, "'zip'; it has default"),
        (EmbedConfig(inputs={"y": "text"}), SignatureError, "no input 'y'; it has x"),
        (EmbedConfig(outputs={"y": "v"}), SignatureError, "no output 'y'; it has default"),
        (EmbedConfig(), ConfigError, "wants feature 'x' or 'text'; the input has body, id"),
        (EmbedConfig(inputs={"x": "txt"}), ConfigError, "wants feature 'txt'"),
        (EmbedConfig(inputs={"x": "body"}, keep=("no",)), ConfigError, "'no' to keep"),
        (
            EmbedConfig(inputs={"x": "body"}, outputs={"default": "id"}, keep=("id",)),
            ConfigError,
            "two columns of the output would be named 'id'",
        ),
    ],
)
def test_what_does_not_fit_is_one_error_with_the_choices(config, error, complaint):
    with pytest.raises(error, match=complaint):
        make_plan(config, spec({"x": TEXT}), ["id", "body"])
