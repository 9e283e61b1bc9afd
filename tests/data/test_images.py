"""Images: decoded to what a module takes, or rejected with a reason."""

import io
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hub_tfx.data import images
from hub_tfx.data.images import MAX_PIXELS, FileReader, ImageDecoder, header_size
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.module.spec import TensorInfo

RGB = TensorInfo("float32", (None, 4, 4, 3))
PIXELS = np.random.default_rng(0).integers(0, 256, [4, 4, 3], np.uint8)
PNG = tf.io.encode_png(PIXELS).numpy()


def decode(values, info=RGB, size=(4, 4)):
    return ImageDecoder(info, size)(values)


def encode(pixels, format):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format)
    return file.getvalue()


def test_a_png_equals_its_own_pixels():
    np.testing.assert_allclose(decode([PNG])[0], PIXELS / 255, atol=1e-6)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
def test_images_become_floats_from_0_to_1_of_the_inputs_size(format):
    [white] = decode([encode(np.full([6, 9, 3], 255, np.uint8), format)])
    assert white.shape == (4, 4, 3)
    np.testing.assert_allclose(white, 1.0, atol=1e-6)


def test_resizing_is_that_of_tf_image():
    large = np.random.default_rng(1).integers(0, 256, [9, 7, 3], np.uint8)
    expected = tf.image.resize(tf.image.convert_image_dtype(large, tf.float32), (4, 4))
    [resized] = decode([tf.io.encode_png(large).numpy()])
    np.testing.assert_allclose(resized, expected, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_channels_are_those_of_the_input_whatever_those_of_the_image(channels, format, mode):
    file = io.BytesIO()
    image = Image.fromarray(np.full([4, 4], 51, np.uint8)).convert(mode)
    (image.convert("RGB") if (format, mode) == ("JPEG", "RGBA") else image).save(file, format)
    [decoded] = decode([file.getvalue()], TensorInfo("uint8", (None, 4, 4, channels)))
    assert decoded.shape == (4, 4, channels)
    assert decoded.numpy()[0, 0].tolist() == [51, 51, 51, 255][:channels]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_floats_are_from_0_to_1(dtype):
    [image] = decode([PNG], TensorInfo(dtype, (None, 4, 4, 3)))
    assert image.dtype.name == dtype
    np.testing.assert_allclose(tf.cast(image, tf.float64), PIXELS / 255, atol=1e-2)


@pytest.mark.parametrize("size", [(4, 4), None])
@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int32", "int64", "uint32", "uint64"]
)
def test_integers_are_from_0_to_255(dtype, size):
    [image] = decode([PNG], TensorInfo(dtype, (None, None, None, 3)), size)
    assert image.dtype.name == dtype
    assert image.numpy().tolist() == PIXELS.tolist()


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64", "string"])
def test_what_cannot_hold_pixels_is_no_image(dtype):
    assert not TensorInfo(dtype, (None, 4, 4, 3)).is_image


def test_an_input_of_bytes_gets_the_pixels_themselves():
    info = TensorInfo("uint8", (None, None, None, 3))
    [image] = decode([PNG], info, None)
    assert image.numpy().tolist() == PIXELS.tolist()
    [small] = decode([PNG], info, (2, 2))
    assert (small.dtype, small.shape) == (tf.uint8, (2, 2, 3))


def test_without_a_size_each_image_keeps_its_own():
    images = [np.zeros([h, w, 3], np.uint8) for h, w in ((2, 3), (5, 1))]
    found = decode([tf.io.encode_png(i).numpy() for i in images], size=None)
    assert [tuple(image.shape) for image in found] == [(2, 3, 3), (5, 1, 3)]


def test_what_cannot_be_decoded_says_why_and_the_others_are_decoded():
    jpeg = tf.io.encode_jpeg(PIXELS).numpy()
    *bad, good = decode([b"", b"text", PNG[:40], jpeg[: len(jpeg) // 2], PNG])
    assert all("is not an image that can be decoded" in why for why in bad)
    assert "Unknown image file format" in bad[1]
    assert good.shape == (4, 4, 3)


def test_an_image_that_claims_to_be_huge_is_not_decoded():
    side = int(MAX_PIXELS**0.5) + 1
    huge = PNG[:16] + struct.pack(">II", side, side) + PNG[24:]
    assert f"{side} x {side}; at most {MAX_PIXELS:,} pixels are taken" in decode([huge])[0]


def gif(screen, *frames):
    """A GIF of gray frames, each a width and a height."""
    blocks = []
    for width, height in frames:
        file = io.BytesIO()
        Image.new("P", (width, height)).save(file, "GIF")
        content = file.getvalue()
        start = content.index(b",\0\0\0\0")
        blocks.append(content[start:-1])
        head = content[:start]
    return head[:6] + struct.pack("<HH", *screen) + head[10:] + b"".join(blocks) + b";"


def test_a_gif_has_the_size_of_its_first_frame_whatever_its_screen():
    for screen in ((1, 1), (60_000, 60_000)):
        encoded = gif(screen, (5, 3), (2, 2))
        assert header_size(encoded) == (3, 5)
        assert decode([encoded], size=None)[0].shape == (3, 5, 3)


def test_frames_that_are_larger_than_their_screen_are_not_decoded(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    (why,) = decode([gif((1, 1), (20, 30))])
    assert "is an image of 20 x 30; at most 100 pixels are taken" in why
    monkeypatch.setattr(images, "_MAX_ANIMATION_PIXELS", 150)
    small, large = decode([gif((9, 9), (8, 8), (8, 8)), gif((9, 9), *[(8, 8)] * 3)])
    assert small.shape == (4, 4, 3)
    assert large == "is an animation of more than 150 pixels"


def png_chunk(kind, data):
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def evasions():
    """Images of 20 x 30 that decoders take, and that hide their size from who looks for it."""
    pixels = np.zeros([30, 20, 3], np.uint8)
    jpeg, png = encode(pixels, "JPEG"), encode(pixels, "PNG")
    gray = gif((1, 1), (20, 30))
    return {
        "a JPEG with stray bytes between its segments": jpeg[:20] + b"\x11\xff\0" + jpeg[20:],
        "a PNG with a chunk before its header": png[:8]
        + png_chunk(b"prIv", struct.pack(">II", 1, 1) + b"abcde")
        + png[8:],
        "a GIF of no known version": b"GIF88a" + gray[6:],
    }


@pytest.mark.parametrize("what", evasions())
def test_a_size_cannot_be_hidden(what, monkeypatch):
    encoded = evasions()[what]
    assert tf.io.decode_image(encoded, 3, expand_animations=False).shape == (30, 20, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    (why,) = decode([encoded])
    assert "at most 100 pixels are taken" in why or "does not tell its size" in why


SMALL = [encode(np.zeros([5, 7, 3], np.uint8), f) for f in ("PNG", "JPEG", "GIF", "BMP")]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(SMALL),
    st.lists(
        st.tuples(
            st.integers(0, 80),
            st.sampled_from(["set", "insert", "remove"]),
            st.sampled_from(b"\x00\x01\x02\x21\x2c\x3b\xc0\xc4\xd8\xd9\xda\xfe\xff")
            | st.integers(0, 255),
        ),
        max_size=3,
    ),
)
def test_what_is_decoded_has_the_size_that_was_found_or_none_was_found(encoded, edits):
    damaged = bytearray(encoded)
    for at, edit, byte in edits:
        damaged[at : at + (edit != "insert")] = [] if edit == "remove" else [byte]
    try:
        decoded = tf.io.decode_image(bytes(damaged), 3, expand_animations=False)
    except tf.errors.OpError:
        return
    assert header_size(bytes(damaged)) in (None, tuple(decoded.shape[:2]))


def test_paths_are_read(tmp_path, monkeypatch):
    (tmp_path / "a [1].png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    found = FileReader()(
        [str(tmp_path / "a [1].png"), b"a [1].png", "none.png", str(tmp_path), b"\xff"]
    )
    assert found[:2] == [PNG, PNG]
    assert all("cannot be read" in why for why in found[2:])
    assert "none.png" in found[2]


@settings(deadline=None)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]),
    st.booleans(),
)
def test_the_size_is_known_without_decoding(height, width, format, progressive):
    file = io.BytesIO()
    options = {"progressive": True, "exif": b"Exif\0\0" + b"\xff\xd8\xff\xc0" * 9}
    image = Image.fromarray(np.zeros([height, width, 3], np.uint8))
    image.save(file, format, **(options if format == "JPEG" and progressive else {}))
    assert header_size(file.getvalue()) == (height, width)


@settings(deadline=None)
@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8", b"\xff\xd8\xff\xe0"]
    ),
    st.binary(max_size=80),
)
def test_any_bytes_have_a_size_or_none(magic, rest):
    size = header_size(magic + rest)
    assert size is None or min(size) >= 0


@pytest.mark.parametrize(
    ("size", "expected"),
    [((4, 4), [192, 192]), (None, [192, 0])],
)
def test_row_bytes_are_those_of_the_pixels(size, expected):
    info = TensorInfo("float32", (None, None, None, 3))
    plan = EmbedPlan("s", {"x": "f"}, {"x": info}, (), (), size)
    made = Input("x", plan, EmbedConfig(), pa.binary())
    assert made.row_bytes(pa.array([PNG, b"text"])).tolist() == expected


def test_images_in_lists_as_tf_example_has_them_and_more_than_one_a_row():
    plan = EmbedPlan("s", {"x": "f"}, {"x": RGB}, (), (), (4, 4))
    type_ = pa.large_list(pa.large_binary())
    made = Input("x", plan, EmbedConfig(), type_)
    column = pa.array([[PNG], [], [PNG, PNG]], type_)
    assert list(made.check(column)) == [1, 2]
    assert made.decode(column.slice(0, 1))[0].shape == (4, 4, 3)
