"""The variant that TensorFlow Serving, TFX's Pusher and BulkInferrer take."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hub_tfx.module.manifest import Manifest
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.facts import VariantFacts
from hub_tfx.repository.variants.start import DEFAULT_TIMEOUT_S, made_by_child


@dataclass(frozen=True)
class ServingVariant:
    """A SavedModel tagged ``serve``, with ``serving_default``.

    Attributes:
      path: its directory.
      signature: the module's signature that ``serving_default`` is.
      signatures: all that it has, by name.
      largest_difference: from the module, over all numbers that it gave for the probe rows.
      size_bytes: size of all files together.
    """

    path: Path
    signature: str
    signatures: tuple[str, ...]
    largest_difference: float
    size_bytes: int

    @property
    def facts(self) -> VariantFacts:
        """What ``module.json`` says about it."""
        return VariantFacts("serving", self.signature, self.largest_difference, self.size_bytes)


def make_serving(
    module: ResolvedModule,
    directory: str | os.PathLike[str],
    *,
    signature: str | None = None,
    imports: Iterable[str] = (),
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> ServingVariant:
    """Makes a SavedModel that is served, from a module of either format.

    Weights, tables and assets are those of the module. A SavedModel that has ``serving_default``
    and the tag is copied; any other one is written again, with its own signatures kept.

    Args:
      module: the module.
      directory: the new SavedModel, complete or not there at all; missing parents are made.
      signature: signature or ``__call__`` that becomes ``serving_default``; None for the module's
        own ``serving_default``, otherwise its default signature.
      imports: packages that register the module's ops.
      timeout_s: how long making and trying it may take.

    Raises:
      VariantError: the module cannot be served, or its copy gives something else.
      OutputError: the directory is not empty or cannot be written.
    """
    found = made_by_child("serving", module, directory, signature, imports, timeout_s)
    return ServingVariant(
        Path(directory),
        found["signature"],
        tuple(found["signatures"]),
        found["largest_difference"],
        Manifest.of_directory(directory).size_bytes,
    )
