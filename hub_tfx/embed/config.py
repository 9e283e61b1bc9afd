"""EmbedConfig: what to feed, what to write, what to keep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from hub_tfx._config import JobConfig, Range

OutputDtype = Literal["float32", "float16", "int8"]
_Count = Annotated[int, Range(least=1)]
_ImageSize = Annotated[tuple[_Count, _Count], "a height and a width in pixels"]


@dataclass(frozen=True)
class EmbedConfig(JobConfig):
    """How rows become embeddings. ``from_json(c.to_json()) == c``; unknown keys are refused.

    Attributes:
      signature: which signature to call; None for ``__call__`` of a SavedModel that has it and
        ``default`` of the TF1 hub format.
      tags: of the module's graph, where it has several; none for the one that is to serve.
      threads: of a worker, for the module and for decoding; None for its share of the cores.
      no_batch: whether the signature takes one row, without a batch dimension, and is called once a
        row. Where only that fits, a job finds it out by itself.
      inputs: input key -> feature. An input that is not named takes the feature of its own name; a
        sole input else ``text`` if it takes strings and ``image`` if it takes images.
      outputs: output key -> column; if any is named, only these are written. Else the sole output,
        or ``default`` of several, becomes ``embedding``; several without a ``default`` keep their
        keys.
      keep: features that pass through unchanged.
      batch_size: rows of a call; fewer where it runs out of memory or time. None for as many as
        are fastest, which each worker finds from what its calls take.
      batch_bytes: upper bound on what a call is fed, were all its rows as large as its largest; a
        larger row goes alone.
      call_timeout_s: after which a call is cancelled, and tried again with half its rows; a row
        that takes longer by itself is rejected.
      text_encoding: ``utf-8`` sends rows with text that is not valid UTF-8 to the dead letters;
        ``bytes`` feeds string inputs whatever there is. Columns of bytes are always fed as they
        are, but for those of tf.Example, which has no other type for text.
      image_source: ``bytes`` if features hold encoded images, ``path`` if they hold the paths of
        image files, on any Beam filesystem. A module that takes no images but one string gets the
        bytes of the files.
      image_size: height and width to which images are resized where the signature leaves both open;
        None for what the module says, or otherwise each image's own.
      normalize: whether vectors are divided by their L2 norm; zero stays zero.
      output_dtype: ``float32``; ``float16``; or ``int8``, with a scale for each row.
      imports: packages that a worker imports before it loads the module, such as those that
        register its ops.
      deduplicate: whether of rows that feed the same only the first is embedded, in each worker
        process, and copied for the others.
      max_dead_letter_ratio: the job fails where more than this share of its rows is rejected, and
        always where all of them are.
    """

    NAME = "embed config"
    LATER = ("tags", "no_batch", "threads")

    signature: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    batch_size: _Count | None = None
    batch_bytes: _Count = 64 << 20
    call_timeout_s: Annotated[float, Range(above=0, most=math.inf)] = 600.0
    text_encoding: Literal["utf-8", "bytes"] = "utf-8"
    image_source: Literal["bytes", "path"] = "bytes"
    image_size: _ImageSize | None = None
    normalize: bool = False
    output_dtype: OutputDtype = "float32"
    imports: tuple[str, ...] = ()
    deduplicate: bool = False
    max_dead_letter_ratio: Annotated[float, Range(least=0, most=1)] = 1.0
    tags: tuple[str, ...] = ()
    no_batch: bool = False
    threads: _Count | None = None
