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
        image_source=st.sampled_from(["bytes", "path"]),
        image_size=st.none() | st.tuples(st.integers(1, 999), st.integers(1, 999)),
        normalize=st.booleans(),
        output_dtype=st.sampled_from(["float32", "float16", "int8"]),
        imports=st.lists(NAMES).map(tuple),
        max_dead_letter_ratio=st.floats(0, 1),
        tags=st.lists(NAMES).map(tuple),
        no_batch=st.booleans(),
    )
)
def test_a_config_survives_json(config):
    assert EmbedConfig.from_json(config.to_json()) == config


def test_a_config_that_an_earlier_version_could_write_has_the_same_json_still():
    """Resumed runs, earlier outputs and compiled pipelines are known by it."""
    assert EmbedConfig(batch_size=2048).to_json() == (
        '{"batch_bytes": 67108864, "batch_size": 2048, "call_timeout_s": 600.0, "deduplicate": '
        'false, "image_size": null, "image_source": "bytes", "imports": [], "inputs": {}, "keep": '
        '[], "max_dead_letter_ratio": 1.0, "normalize": false, "output_dtype": "float32", '
        '"outputs": {}, "signature": null, "text_encoding": "utf-8"}'
    )
    of_graph = EmbedConfig(tags=("serve",), no_batch=True).to_json()
    assert '"no_batch": true' in of_graph
    assert '"tags": ["serve"]' in of_graph


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "the embed config is not JSON"),
        ("[]", "not an object"),
        ('{"sgnature": "x"}', "'sgnature'"),
        ('{"batch_size": 0}', "batch_size takes a whole number from 1 or nothing, not 0"),
        ('{"batch_size": "many"}', "batch_size takes a whole number from 1 or nothing, not 'many'"),
        ('{"call_timeout_s": 0}', "call_timeout_s takes a number above 0, not 0"),
        ('{"max_dead_letter_ratio": 2}', "from 0 to 1, not 2"),
        ('{"text_encoding": "latin-1"}', "text_encoding takes utf-8 or bytes, not 'latin-1'"),
        ('{"image_source": "url"}', "image_source takes bytes or path, not 'url'"),
        ('{"output_dtype": "float64"}', "float32, float16 or int8, not 'float64'"),
        ('{"keep": "id"}', "keep takes a list of texts, not 'id'"),
        ('{"imports": [1]}', r"imports takes a list of texts, not \[1\]"),
        ('{"inputs": {"x": 1}}', "inputs takes a mapping from texts to texts, not {'x': 1}"),
        ('{"image_size": [224]}', r"a height and a width in pixels or nothing, not \[224\]"),
        ('{"image_size": [0, 224]}', "a height and a width"),
        ('{"image_size": 224}', "a height and a width"),
        ('{"normalize": 1}', "true or false, not 1"),
        ('{"deduplicate": null}', "true or false, not None"),
        ('{"tags": "serve"}', "tags takes a list of texts, not 'serve'"),
        ('{"no_batch": 1}', "no_batch takes true or false, not 1"),
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


def test_the_default_output_of_several_is_the_embedding():
    plan = make_plan(EmbedConfig(), spec({"x": TEXT}, {"a": VECTOR, "default": VECTOR}), ["x"])
    assert names(plan) == {"default": "embedding"}


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


OPEN_IMAGE = TensorInfo("float32", (None, None, None, 3))


@pytest.mark.parametrize(
    ("inputs", "config", "complaint"),
    [
        (
            {"x": TensorInfo("float32", ())},
            {},
            r"'x' \(float32\[\]\).*one value for the whole batch",
        ),
        ({"training": TensorInfo("bool", ())}, {}, "no input that can be fed"),
        ({"x": TensorInfo("complex64", (None,))}, {}, "'x'.*no feature can hold"),
        ({"x": TensorInfo("int64", (None, 2, 2), "sparse")}, {}, "'x'.*no feature can hold"),
        ({"x": TensorInfo("int64", None, "sparse")}, {}, "'x'.*no feature can hold"),
        ({"x": TensorInfo("int64", (None, None, None), "ragged")}, {}, "'x'.*no feature can hold"),
        (
            {"x": VECTOR},
            {"image_source": "path"},
            r"--image-paths\).*takes neither images nor one string, but x \(float32",
        ),
        ({"x": TEXT, "y": TEXT}, {"image_source": "path"}, "neither images nor one string"),
        ({"x": TEXT}, {"image_size": (2, 2)}, r"--image-size\).*takes x \(string"),
        (
            {"x": IMAGE},
            {"image_size": (2, 2)},
            r"\(2, 2\), but input 'x' takes float32\[\?, 8, 8, 3",
        ),
        ({"x": TensorInfo("string", (4,)), "y": TensorInfo("int64", (2,))}, {}, r"sizes: \[2, 4\]"),
    ],
)
def test_what_no_feature_can_feed_is_an_error(inputs, config, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make_plan(EmbedConfig(**config), spec(inputs), [*inputs])


@pytest.mark.parametrize(
    ("outputs", "config", "complaint"),
    [
        (
            {"n": TensorInfo("int64", (None, 2))},
            {"normalize": True},
            r"normalize is for vectors.*n",
        ),
        (
            {"n": TensorInfo("float32", (None,))},
            {"output_dtype": "int8"},
            "output_dtype int8 is for",
        ),
        (
            {"a": VECTOR, "b": VECTOR},
            {"outputs": {"a": "v", "b": "v_scale"}, "output_dtype": "int8"},
            "two columns of the output would be named 'v_scale'",
        ),
        ({"a": VECTOR}, {"outputs": {"a": "key"}}, "cannot be named 'key'"),
        ({"a": TensorInfo("float32", ())}, {}, "'a' is one value for the whole batch"),
    ],
)
def test_what_cannot_be_written_is_an_error(outputs, config, complaint):
    with pytest.raises(ConfigError, match=complaint):
        make_plan(EmbedConfig(**config), spec({"x": TEXT}, outputs), ["x"])


def test_tags_choose_the_graph():
    graphs = [
        GraphVariant(tags, {"default": SignatureSpec({key: TEXT}, {"default": VECTOR})})
        for tags, key in ((("serve",), "x"), (("gpu", "serve"), "y"))
    ]
    several = ModuleSpec("saved_model", tuple(graphs))
    assert make_plan(EmbedConfig(), several, ["x", "y"]).features == {"x": "x"}
    config = EmbedConfig(tags=("serve", "gpu"))
    assert make_plan(config, several, ["x", "y"]).features == {"y": "y"}
    with pytest.raises(SignatureError, match=r"no tag set \{tpu\}; it has \{serve\}, \{gpu, serve"):
        make_plan(EmbedConfig(tags=("tpu",)), several, ["x"])


def test_a_signature_that_gives_nothing_is_an_error():
    nothing = ModuleSpec(
        "saved_model", (GraphVariant(("serve",), {"default": SignatureSpec({"x": TEXT}, {})}),)
    )
    with pytest.raises(ConfigError, match="gives nothing that can be written"):
        make_plan(EmbedConfig(), nothing, ["x"])


def test_the_size_of_images_is_that_of_the_signature_the_config_or_the_module():
    def size_of(info, image_size=None, attached=None):
        module = ModuleSpec("tf1_hub", spec({"x": info}).variants, attached)
        return make_plan(EmbedConfig(image_size=image_size), module, ["x"]).image_size

    assert size_of(IMAGE, attached=(9, 9)) == (8, 8)
    assert size_of(IMAGE, (8, 8)) == (8, 8)
    assert size_of(OPEN_IMAGE) is None
    assert size_of(OPEN_IMAGE, attached=(9, 7)) == (9, 7)
    assert size_of(OPEN_IMAGE, (5, 6), attached=(9, 7)) == (5, 6)


def test_a_feature_of_paths_is_found_by_its_name():
    config = EmbedConfig(image_source="path")
    assert make_plan(config, spec({"x": IMAGE}), ["image", "path"]).features == {"x": "path"}
    assert make_plan(config, spec({"x": IMAGE}), ["image"]).features == {"x": "image"}


def test_a_flag_for_training_is_not_fed_by_a_feature():
    flag = TensorInfo("bool", ())
    plan = make_plan(EmbedConfig(), spec({"x": TEXT, "training": flag}), ["text", "training"])
    assert plan.features == {"x": "text"}


def test_a_preprocessors_inputs_are_those_that_features_feed():
    tokens = {"ids": TensorInfo("int32", (None, None))}
    first = spec({"words": TEXT}, {**tokens, "more": TEXT})
    plan = make_plan(EmbedConfig(), spec(tokens), ["text"], first)
    assert plan.features == {"words": "text"}
    assert names(plan) == {"default": "embedding"}


@pytest.mark.parametrize(
    "given", [TensorInfo("int64", (None, None)), TensorInfo("int32", (None,)), TEXT]
)
def test_a_preprocessor_that_gives_something_else_is_an_error(given):
    then = spec({"ids": TensorInfo("int32", (None, None)), "training": TensorInfo("bool", ())})
    first = spec({"words": TEXT}, {"ids": given, "more": TEXT})
    with pytest.raises(SignatureError, match=r"cannot feed input 'ids' \(int32.*it gives ids"):
        make_plan(EmbedConfig(), then, ["text"], first)


def test_the_rows_of_a_call_are_those_of_the_graph():
    fixed = TensorInfo("string", (4,))
    assert make_plan(EmbedConfig(), spec({"x": fixed}), ["x"]).call_rows == 4
    assert make_plan(EmbedConfig(), spec({"x": TEXT}), ["x"]).call_rows is None
    first = spec({"w": TEXT}, {"x": fixed})
    assert make_plan(EmbedConfig(), spec({"x": fixed}), ["w"], first).call_rows == 4
