"""The variants that are published with a module, by the names that `--variant` takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub_tfx.errors import ConfigError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.facts import VariantFacts
from hub_tfx.repository.layout import VARIANTS
from hub_tfx.repository.variants.serving import make_serving
from hub_tfx.repository.variants.tflite import make_tflite

_MAKERS: Mapping[str, Callable[..., Any]] = {"serving": make_serving, "tflite": make_tflite}
KINDS = tuple(_MAKERS)


@dataclass(frozen=True)
class Variants:
    """Variants that were made and tried.

    Attributes:
      files: path in the version, such as ``variants/tflite/model.tflite`` -> file.
      facts: what ``module.json`` says about each.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    facts: tuple[VariantFacts, ...] = ()


def make_variants(
    module: ResolvedModule, kinds: Iterable[str], folder: Path, imports: Iterable[str] = ()
) -> Variants:
    """Makes variants in a folder, one after the other; all of them, or there is an error.

    Raises:
      ConfigError: there is no such variant.
      VariantError: the module cannot be had in this format; the message says why.
    """
    wanted = sorted(set(kinds))
    if unknown := [kind for kind in wanted if kind not in _MAKERS]:
        raise ConfigError(f"there is no variant {unknown[0]!r}: use {' or '.join(KINDS)}")
    made = [_MAKERS[kind](module, folder / kind, imports=imports) for kind in wanted]
    files = {
        f"{VARIANTS}/{path.relative_to(folder).as_posix()}": path
        for kind in wanted
        for path in sorted((folder / kind).rglob("*"))
        if path.is_file()
    }
    return Variants(files, tuple(variant.facts for variant in made))
