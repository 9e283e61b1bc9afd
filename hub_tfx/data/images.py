"""Encoded images, or the paths of image files, to the pixels that a module takes."""

import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import tensorflow as tf

from hub_tfx._threads import DaemonThreads
from hub_tfx.data.filesystems import open_file
from hub_tfx.data.isolate import describe
from hub_tfx.module.process import threads
from hub_tfx.module.spec import TensorInfo

MAX_PIXELS = 100_000_000
"""Of an image: 400 MB of RGB and its float32, which a file of some KB may claim to hold."""
_MAX_ANIMATION_PIXELS = 4 * MAX_PIXELS
"""Of all frames of a GIF, each of which is held in a byte."""
_MAX_ENCODED_BYTES = 256 << 20
_FILE_THREADS = 16
"""Of reading from elsewhere, which is waiting for the most part."""

_PNG, _GIF, _BMP, _JPEG = b"\x89PNG\r\n\x1a\n", b"GIF", b"BM", b"\xff\xd8"
_GIF_EXTENSION, _GIF_IMAGE = 0x21, 0x2C
_MAGIC_OF_CHANNELS = {1: [b"\x89P", b"\xff\xd8"], 4: [b"\x89P", b"BM"]}
"""First bytes of the formats that tf.io.decode_image gives so many channels of."""
_JPEG_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])


def decode_image(encoded: Any, info: TensorInfo, size: tuple[int, int] | None) -> Any:
    """One encoded image as an input takes it, in TensorFlow ops, eager or in a graph.

    JPEG, PNG, BMP, and a GIF's first frame.

    Args:
      encoded: scalar string.
      info: of the input, ``[batch, height, width, channels]``; see TensorInfo.is_image.
      size: height and width to which the image is resized; None to leave it at its own.

    Returns:
      ``[height, width, channels]``: floats in [0, 1] by the common signature
      (https://www.tensorflow.org/hub/common_signatures/images), or integers in [0, 255], which
      detectors take. There are three channels where the input leaves their number open.
    """
    assert info.shape is not None
    image = _decode(encoded, info.shape[3] or 3)
    if size is not None:
        image = tf.image.resize(image, size)
    if tf.as_dtype(info.dtype).is_integer:
        return tf.cast(tf.round(image) if size else image, info.dtype)
    return tf.cast(tf.cast(image, tf.float32) * (1 / 255), info.dtype)


def _decode(encoded: Any, channels: int) -> Any:
    """``[height, width, channels] uint8``; grey or with an opaque alpha channel where TensorFlow's
    decoder of the format does not give so many."""

    def decoded(channels: int) -> Any:
        return tf.io.decode_image(encoded, channels, expand_animations=False)

    if channels == 3:
        return decoded(3)

    def from_rgb() -> Any:
        image = decoded(3)
        if channels == 1:
            return tf.image.rgb_to_grayscale(image)
        return tf.concat([image, tf.fill(tf.shape(image[..., :1]), tf.constant(255, tf.uint8))], 2)

    has_decoder = tf.reduce_any(tf.strings.substr(encoded, 0, 2) == _MAGIC_OF_CHANNELS[channels])
    return tf.cond(has_decoder, lambda: decoded(channels), from_rgb)


class ImageDecoder:
    """Decodes images for one input, several at a time; see ``decode_image``."""

    def __init__(self, info: TensorInfo, size: tuple[int, int] | None):
        """Builds the graph that decodes; for the arguments see ``decode_image``."""
        function = tf.function(
            lambda encoded: decode_image(encoded, info, size),
            input_signature=[tf.TensorSpec([], tf.string)],
            autograph=False,
        )
        self._pixels = function.get_concrete_function()
        self._pool = ThreadPoolExecutor(threads())

    def __call__(self, values: Sequence[Any]) -> list[Any]:
        """Pixels of each image, or in words why there are none: a tensor or a str."""
        return list(self._pool.map(self._decode, values))

    def _decode(self, value: str | bytes) -> Any:
        encoded = as_bytes(value)
        try:
            size = header_size(encoded)
            if size is None and encoded.startswith((_PNG, _GIF, _BMP, _JPEG)):
                return "is not an image that can be decoded: its header does not tell its size"
            height, width = size or (0, 0)  # What is of another format is not decoded.
            if height * width > MAX_PIXELS:
                return f"is an image of {width} x {height}; at most {MAX_PIXELS:,} pixels are taken"
            if encoded.startswith(_GIF) and _is_large_animation(encoded):
                return f"is an animation of more than {_MAX_ANIMATION_PIXELS:,} pixels"
            return self._pixels(tf.constant(encoded, tf.string))
        except tf.errors.OpError as error:
            return f"is not an image that can be decoded: {describe(error)}"


class FileReader:
    """Reads image files on any Beam filesystem, several at a time."""

    def __init__(self, timeout_s: float = 600.0) -> None:
        """A reader.

        Args:
          timeout_s: after which files that were asked for together are given up.
        """
        self._timeout_s = timeout_s
        self._threads = DaemonThreads(_FILE_THREADS, "files")

    def __call__(self, paths: Sequence[Any]) -> list[bytes | str]:
        """What each file holds, or in words why it cannot be read."""
        reading = [self._threads.submit(_read_or_say_why, path) for path in paths]
        _, left = wait(reading, self._timeout_s)
        for future in left:
            future.cancel()
        if left:  # Threads that hang are left to themselves.
            self._threads.shutdown()
            self._threads = DaemonThreads(_FILE_THREADS, "files")
        late = f"cannot be read: it took longer than {self._timeout_s:g} s"
        return [late if future in left else future.result() for future in reading]


def header_size(encoded: bytes) -> tuple[int, int] | None:
    """Height and width of the pixels of an encoded image; None where it cannot be told.

    They are those of what is decoded: of a GIF's first frame, which may be larger than the screen
    that it names first, and of the header that a JPEG decoder finds, which skips stray bytes.

    https://www.w3.org/TR/png/#11IHDR, https://www.w3.org/Graphics/GIF/spec-gif89a.txt,
    https://www.w3.org/Graphics/JPEG/itu-t81.pdf (B.1.1.3, B.2.2), and Windows' BITMAPINFOHEADER.
    """
    try:
        if encoded.startswith(_PNG):
            if encoded[12:16] != b"IHDR":  # libpng would skip other chunks and find it further on.
                return None
            width, height = struct.unpack_from(">II", encoded, 16)
        elif encoded.startswith(_GIF):
            width, height = next(_gif_frames(encoded))
        elif encoded.startswith(_BMP):
            width, height = struct.unpack_from("<ii", encoded, 18)
        elif encoded.startswith(_JPEG):
            height, width = _jpeg_size(encoded)
        else:
            return None
    except (struct.error, StopIteration):  # It ends before that.
        return None
    return abs(height), abs(width)


def _is_large_animation(encoded: bytes) -> bool:
    """Whether the frames of a GIF are too much, all of which are decoded for the first one."""
    pixels = 0
    with suppress(struct.error):
        for width, height in _gif_frames(encoded):
            pixels += width * height
            if pixels > _MAX_ANIMATION_PIXELS:
                return True
    return False


def _gif_frames(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each frame of a GIF; struct.error where it ends inside one."""
    at = 13 + _color_table_bytes(encoded, 10)
    while True:
        (kind,) = struct.unpack_from("B", encoded, at)
        if kind == _GIF_EXTENSION:
            at += 2
        elif kind == _GIF_IMAGE:
            yield struct.unpack_from("<HH", encoded, at + 5)
            at += 11 + _color_table_bytes(encoded, at + 9)  # With the size of a code.
        else:
            return
        while size := struct.unpack_from("B", encoded, at)[0]:
            at += 1 + size
        at += 1


def _color_table_bytes(encoded: bytes, at: int) -> int:
    (flags,) = struct.unpack_from("B", encoded, at)
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _jpeg_size(encoded: bytes) -> tuple[int, int]:
    at = 2
    while True:
        # libjpeg skips what is not a marker.
        at = encoded.find(b"\xff", at) if at < len(encoded) else -1
        if at < 0:
            raise struct.error
        (marker,) = struct.unpack_from("B", encoded, at + 1)
        if marker == 0xFF:  # A fill byte.
            at += 1
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        elif marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack_from(">HH", encoded, at + 5)
            return height, width
        else:
            at += 2 + struct.unpack_from(">H", encoded, at + 2)[0]


def as_bytes(value: str | bytes) -> bytes:
    """What an Arrow column of strings or of bytes holds."""
    return value.encode() if isinstance(value, str) else bytes(value)


def _read_or_say_why(path: Any) -> bytes | str:
    try:
        return _read(path)
    except Exception as error:  # noqa: BLE001  (each filesystem has errors of its own)
        return f"cannot be read: {describe(error)}"


def _read(path: Any) -> bytes:
    path = path if isinstance(path, str) else path.decode()
    with open_file(path) as file:
        encoded: bytes = file.read(_MAX_ENCODED_BYTES + 1)
    if len(encoded) > _MAX_ENCODED_BYTES:
        raise ValueError(f"{path} is larger than {_MAX_ENCODED_BYTES >> 20} MB")
    return encoded
