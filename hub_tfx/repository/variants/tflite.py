"""The variant for TensorFlow Lite."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.facts import VariantFacts
from hub_tfx.repository.variants.start import DEFAULT_TIMEOUT_S, made_by_child

FILE = "model.tflite"


@dataclass(frozen=True)
class TfliteVariant:
    """A TensorFlow Lite model whose signature is called ``serving_default``.

    Attributes:
      path: the file.
      signature: the module's signature that was converted.
      largest_difference: from the module, over all numbers that it gave for the probe rows.
      needs_flex: whether the interpreter needs the delegate for TensorFlow's own ops
        (SELECT_TF_OPS), as modules with string ops do.
      size_bytes: length of the file.
    """

    path: Path
    signature: str
    largest_difference: float
    needs_flex: bool
    size_bytes: int

    @property
    def facts(self) -> VariantFacts:
        """What ``module.json`` says about it."""
        difference, size_bytes = self.largest_difference, self.size_bytes
        return VariantFacts("tflite", self.signature, difference, size_bytes, self.needs_flex)


def make_tflite(
    module: ResolvedModule,
    directory: str | os.PathLike[str],
    *,
    signature: str | None = None,
    select_ops: bool = True,
    imports: Iterable[str] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> TfliteVariant:
    """Converts one signature by TensorFlow's converter, and runs it by TensorFlow Lite.

    Lookup tables become constants: TensorFlow Lite reads no asset files.

    Args:
      module: the module.
      directory: new directory for ``model.tflite``, complete or not there at all.
      signature: signature or ``__call__`` that is converted; None as for ``make_serving``.
      select_ops: whether TensorFlow's own ops may be used where TensorFlow Lite has none.
      imports: packages that register the module's ops.
      timeout_s: how long making and trying it may take.

    Raises:
      VariantError: the module cannot be converted or run, or gives something else there.
      OutputError: the directory is not empty or cannot be written.
    """
    options = {"select_ops": select_ops}
    found = made_by_child("tflite", module, directory, signature, imports, timeout_s, **options)
    file = Path(directory, FILE)
    return TfliteVariant(
        file,
        found["signature"],
        found["largest_difference"],
        found["needs_flex"],
        file.stat().st_size,
    )
