"""A module between the features and the one that is trained, such as a tokenizer."""

from pathlib import Path
from typing import Any

from hub_tfx.finetune.training import PAIR, Inputs
from hub_tfx.module.load import load
from hub_tfx.module.spec import SignatureSpec, fed_by


class Preprocess:
    """Inputs of a preprocessor -> inputs of a signature, in TensorFlow ops.

    Made in the graph in which it is called, or eagerly. It learns nothing.

    Attributes:
      loaded: what TensorFlow has to save where a function that calls it is saved.
    """

    def __init__(self, path: Path, signature: SignatureSpec):
        """Loads a preprocessor.

        Args:
          path: its directory.
          signature: which its outputs feed.

        Raises:
          NotAModuleError: the directory does not hold a module, or TensorFlow cannot load it.
          SignatureError: the preprocessor cannot feed the signature.
        """
        self._module = load(path)
        self._fed_by = fed_by(signature, self._module.signature_spec)
        self.loaded: Any = self._module.loaded

    def __call__(self, inputs: Inputs) -> Inputs:
        """Each of a pair by itself, where there is one; see PAIR."""
        second = {k.removeprefix(PAIR): v for k, v in inputs.items() if k.startswith(PAIR)}
        first = {key: value for key, value in inputs.items() if not key.startswith(PAIR)}
        of_second = self._outputs(second) if second else {}
        return {**self._outputs(first), **{PAIR + k: v for k, v in of_second.items()}}

    def _outputs(self, inputs: Inputs) -> Inputs:
        outputs = self._module(inputs)
        return {key: outputs[output] for key, output in self._fed_by.items()}
