"""Which features feed a module, and how they become its inputs in TensorFlow ops."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import tensorflow as tf

from hub_tfx.data.images import decode_image
from hub_tfx.data.tf_example import TF_DTYPES, example_type
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.plan import make_plan
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.training import PAIR, Inputs
from hub_tfx.module.spec import ModuleSpec, SignatureSpec, TensorInfo


@dataclass(frozen=True)
class Features:
    """Which features feed the module, and what they hold.

    Attributes:
      inputs: input key, or PAIR and input key -> feature.
      infos: the same keys -> what the signature takes.
      types: feature -> ``large_binary``, ``int64`` or ``float32``, as tf.Example holds it.
      image_size: height and width to which encoded images are resized; None where the module does
        not say it.
    """

    inputs: Mapping[str, str]
    infos: Mapping[str, TensorInfo]
    types: Mapping[str, pa.DataType]
    image_size: tuple[int, int] | None = None

    @classmethod
    def of(cls, config: FineTuneConfig, spec: ModuleSpec, schema: pa.Schema) -> "Features":
        """Binds a config to a module and to the columns of its training data.

        Raises:
          UsageError: a feature is missing, or does not fit; the message lists those there are.
        """
        embed = EmbedConfig(signature=config.signature, inputs=config.inputs)
        available = [name for name in schema.names if name != config.label]
        plan = make_plan(embed, spec, available)
        _check_present(config.label, schema.names)
        if spec.format == "tf1_hub" and plan.inputs != spec.signature(plan.signature).inputs:
            raise ConfigError(
                f"signature {plan.signature!r} has an input that switches training on: a module in "
                "TF1 hub format has a graph variant for that, and is not trained with another one"
            )
        inputs = dict(plan.features)
        infos = dict(plan.inputs)
        if config.pair is not None:
            if len(inputs) != 1:
                raise ConfigError("similarity needs a module with one input; this one has several")
            _check_present(config.pair, available)
            (key,) = plan.features
            inputs[PAIR + key], infos[PAIR + key] = config.pair, plan.inputs[key]
        types = {
            name: example_type(schema.field(name).type, name)
            for name in {*inputs.values(), config.label}
        }
        return cls(inputs, infos, types, plan.image_size)

    @property
    def sizes(self) -> dict[str, int]:
        """Input feature -> how many values a row has."""
        return {feature: math.prod(self._shape(key)) for key, feature in self.inputs.items()}

    def parse(self, serialized: Any) -> Inputs:
        """Serialized tf.Examples ``[batch] string`` -> the module's inputs, in TensorFlow ops."""
        spec = {
            feature: tf.io.FixedLenFeature(
                self._shape(key), tf.as_dtype(TF_DTYPES[self.types[feature]])
            )
            for key, feature in self.inputs.items()
        }
        parsed = tf.io.parse_example(serialized, spec)
        return {key: self.tensor(key, parsed[feature]) for key, feature in self.inputs.items()}

    def tensor(self, key: str, values: Any) -> Any:
        """A parsed feature ``[batch, …]`` as the input takes it."""
        info = self.infos[key]
        rows = tf.shape(values)[0]
        if self._is_encoded_image(key):
            return self._decode(tf.reshape(values, [rows]), info)
        if info.shape is not None:
            values = tf.reshape(values, [rows, *self._shape(key)])
        return values if info.dtype == "string" else tf.cast(values, info.dtype)

    def _shape(self, key: str) -> list[int]:
        """Of a row of the parsed feature."""
        info, feature = self.infos[key], self.inputs[key]
        if self._is_encoded_image(key):
            if self.image_size is None:
                raise ConfigError(
                    f"input {key!r} ({info}) takes images of any size, but those of a batch must "
                    "have one: choose a module that says it, in its signature or as "
                    "image_module_info"
                )
            return []
        if info.shape is None:
            return []
        if None in info.shape[1:]:
            raise ConfigError(
                f"input {key!r} ({info}) leaves a dimension of a row open: feature {feature!r} "
                "cannot be fed to it in training"
            )
        return [size for size in info.shape[1:] if size is not None]

    def _is_encoded_image(self, key: str) -> bool:
        return self.infos[key].is_image and self.types[self.inputs[key]] == pa.large_binary()

    def _decode(self, encoded: Any, info: TensorInfo) -> Any:
        """Encoded images ``[batch] string`` -> ``[batch, height, width, channels]``."""
        return tf.map_fn(
            lambda image: decode_image(image, info, self.image_size),
            encoded,
            fn_output_signature=tf.as_dtype(info.dtype),
        )


def signature_of(config: FineTuneConfig, spec: ModuleSpec) -> tuple[str, SignatureSpec]:
    """Name and spec of the signature that is trained."""
    name = config.signature or spec.default_signature
    return name, spec.signature(name)


def _check_present(feature: str, available: Sequence[str]) -> None:
    if feature not in available:
        raise ConfigError(f"no feature {feature!r}; the input has {', '.join(sorted(available))}")
