"""The preprocessing_fn that training and serving share: text cleaning, label vocabulary.

``custom_config`` says which features there are::

    {"label": "topic", "task": "classification", "texts": ["text"], "kept": ["image"]}

If ``texts`` is None, the feature ``text`` is one if it exists.

Images stay encoded, since one of 224 pixels takes 600 KB decoded; the input pipeline decodes them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from hub_tfx.errors import ConfigError

DEFAULT_TEXT = "text"


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Turns raw features into the features and the label that are trained on.

    Args:
      inputs: feature -> tensor; a label is not among them when serving.
      custom_config: the features; see the module's docstring.

    Returns:
      The texts stripped and with single spaces, the kept features as they are, and the label: ids
      from the vocabulary named like it for ``classification`` and ``multilabel``, otherwise floats.
      What is missing stays so, and is sparse as it came: training leaves out such rows.

    Raises:
      ConfigError: the data has no such feature.
    """
    label, kept, texts = custom_config["label"], custom_config["kept"], custom_config["texts"]
    if texts is None:
        texts = [DEFAULT_TEXT] if DEFAULT_TEXT in inputs else []
    _check_features(inputs, [*texts, *kept, label])
    outputs = {name: _clean(inputs[name]) for name in texts}
    outputs |= {name: inputs[name] for name in kept}
    outputs[label] = _label(inputs[label], label, custom_config["task"])
    return outputs


def _check_features(inputs: dict[str, Any], names: Sequence[str]) -> None:
    there = ", ".join(sorted(inputs)) or "none at all"
    for name in names:
        if name not in inputs:
            raise ConfigError(
                f"no feature {name!r}; the input has {there}: choose the label, the texts and the "
                "features to keep from these"
            )


def _clean(text: Any) -> Any:
    def clean(values: Any) -> Any:
        return tf.strings.strip(tf.strings.regex_replace(values, r"\s+", " "))

    return _each(clean, _one_a_row(text))


def _label(values: Any, name: str, task: str) -> Any:
    if task != "multilabel":
        values = _one_a_row(values)
    if task not in ("classification", "multilabel"):
        return _each(lambda v: tf.cast(v, tf.float32), values)
    if values.dtype != tf.string:
        values = _each(tf.strings.as_string, values)
    # Ids, not 0 and 1 for each class: Transform wants to know how wide a dense feature is.
    return tft.compute_and_apply_vocabulary(values, vocab_filename=name)


def _one_a_row(values: Any) -> Any:
    """Dense ones without another dimension than that of the rows."""
    return values if isinstance(values, tf.SparseTensor) else tf.reshape(values, [-1])


def _each(function: Callable[[Any], Any], values: Any) -> Any:
    if isinstance(values, tf.SparseTensor):
        return values.with_values(function(values.values))
    return function(values)
