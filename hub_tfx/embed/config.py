"""EmbedConfig: what to feed, what to write, what to keep."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hub_tfx._config import as_tuple, parse_config
from hub_tfx.errors import ConfigError

OutputDtype = Literal["float32", "float16", "int8"]
_CHOICES = {
    "text_encoding": ("utf-8", "bytes"),
    "image_source": ("bytes", "path"),
    "output_dtype": ("float32", "float16", "int8"),
}
_LATER_FIELDS = ("tags", "no_batch")
"""Fields that outputs from before them do not name: an unused one must not make another job."""


@dataclass(frozen=True)
class EmbedConfig:
    """How rows become embeddings. ``from_json(c.to_json()) == c``; unknown keys are refused.

    Attributes:
      signature: which signature to call; None for ``__call__`` of a SavedModel that has it and
        ``default`` of the TF1 hub format.
      tags: of the module's graph, where it has several; none for the one that is to serve.
      no_batch: whether the signature takes one row, without a batch dimension, and is called once a
        row. Where only that fits, a job finds it out by itself.
      inputs: input key -> feature. An input that is not named takes the feature of its own name; a
        sole input else ``text`` if it takes strings and ``image`` if it takes images.
      outputs: output key -> column; if any is named, only these are written. Else the sole output,
        or ``default`` of several, becomes ``embedding``; several without a ``default`` keep their
        keys.
      keep: features that pass through unchanged.
      batch_size: rows a call of the module, at most; fewer where it runs out of memory or time.
      batch_bytes: what a call is fed, at most, were all its rows as large as its largest; a larger
        row goes alone.
      call_timeout_s: after which a call is cancelled, and tried again with half its rows; a row
        that takes longer by itself is rejected.
      text_encoding: ``utf-8`` sends rows that are not valid UTF-8 to the dead letters; ``bytes``
        feeds string inputs whatever there is, such as encoded images.
      image_source: ``bytes`` if features hold encoded images, ``path`` if they hold the paths of
        image files, on any Beam filesystem.
      image_size: height and width to which images are resized where the signature leaves both open;
        None for what the module says, or else each image's own.
      normalize: whether vectors are divided by their L2 norm; zero stays zero.
      output_dtype: ``float32``; ``float16``; or ``int8``, with a scale for each row.
      imports: packages that a worker imports before it loads the module, such as those that
        register its ops.
      deduplicate: whether of rows that feed the same only the first is embedded, in each worker
        process, and copied for the others.
      max_dead_letter_ratio: the job fails where more than this share of its rows is rejected, and
        always where all of them are.
    """

    signature: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    batch_size: int = 2048
    batch_bytes: int = 64 << 20
    call_timeout_s: float = 600.0
    text_encoding: Literal["utf-8", "bytes"] = "utf-8"
    image_source: Literal["bytes", "path"] = "bytes"
    image_size: tuple[int, int] | None = None
    normalize: bool = False
    output_dtype: OutputDtype = "float32"
    imports: tuple[str, ...] = ()
    deduplicate: bool = False
    max_dead_letter_ratio: float = 1.0
    tags: tuple[str, ...] = ()
    no_batch: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_bytes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.call_timeout_s > 0:
            raise ConfigError(f"call_timeout_s must be more than 0, not {self.call_timeout_s}")
        if not 0 <= self.max_dead_letter_ratio <= 1:
            raise ConfigError(
                f"max_dead_letter_ratio is a share from 0 to 1, not {self.max_dead_letter_ratio}"
            )
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name} is {' or '.join(choices)}, not {value!r}")
        for name in ("normalize", "no_batch"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} is true or false, not {getattr(self, name)!r}")
        size = self.image_size
        if size is not None and (len(size) != 2 or not all(type(n) is int and n > 0 for n in size)):
            raise ConfigError(f"image_size is a height and a width in pixels, not {size!r}")

    def to_dict(self) -> dict[str, Any]:
        """All fields but unused ones that outputs of earlier versions do not have."""
        document = asdict(self)
        return {
            name: value for name, value in document.items() if value or name not in _LATER_FIELDS
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "EmbedConfig":
        """Raises ConfigError for anything but what ``to_json`` writes, defaults left out or not."""
        document = parse_config(text, "embed config", [f.name for f in fields(cls)])
        tuples: dict[str, Any] = {
            name: as_tuple(name, document[name])
            for name in ("keep", "imports", "image_size", "tags")
            if name in document and (name, document[name]) != ("image_size", None)
        }
        try:
            return cls(**{**document, **tuples})
        except TypeError as error:
            raise ConfigError(f"embed config: a value has the wrong type: {error}") from error
