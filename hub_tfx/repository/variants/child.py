"""Makes a variant and tries it: the child process of start.py.

python -m hub_tfx.repository.variants.child KIND MODULE DIRECTORY WANTED RESULT_FILE

where WANTED is the JSON of the other arguments of ``serving`` or ``tflite``.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hub_tfx._quiet import quiet_libraries
from hub_tfx.module.child import answer

_SERVING_DIFFERENCE = 1e-5
_TFLITE_DIFFERENCE = 1e-3
"""Largest share of an output's largest number by which a variant may differ."""


def main(kind: str, module: str, directory: str, wanted: str, result_file: str) -> None:
    quiet_libraries()
    make = {"serving": serving, "tflite": tflite}[kind]
    answer(result_file, lambda: make(Path(module), Path(directory), **json.loads(wanted)))


def serving(
    module: Path, directory: Path, signature: str | None = None, imports: Sequence[str] = ()
) -> dict[str, Any]:
    """Writes a SavedModel for serving and says what came of it.

    Raises:
      HubTfxError: the module or the SavedModel cannot be loaded.
      ValueError: they give different outputs.
      Exception: whatever loading and running them raises.
    """
    from hub_tfx.module.inspect import inspect
    from hub_tfx.module.load import import_packages
    from hub_tfx.repository.variants.compare import compare_with, probe_rows
    from hub_tfx.repository.variants.export_serving import SIGNATURE, export_serving, load_serving

    import_packages(imports)
    name = export_serving(module, directory, signature)
    variant = load_serving(directory)
    probes = probe_rows(variant.signature_spec)
    # The variant is the first to run here: it must not find tables that the module has filled.
    outputs = variant(probes)
    difference = compare_with(module, name, probes, outputs, _SERVING_DIFFERENCE)
    return {
        "signature": name,
        "signatures": sorted(inspect(directory).signatures.keys() | {SIGNATURE}),
        "largest_difference": difference,
    }


def tflite(
    module: Path,
    directory: Path,
    signature: str | None = None,
    imports: Sequence[str] = (),
    select_ops: bool = True,
) -> dict[str, Any]:
    """Writes a TensorFlow Lite model and says what came of it; raises as ``serving`` does."""
    from hub_tfx.module.load import import_packages
    from hub_tfx.repository.variants.compare import compare_with, probe_rows
    from hub_tfx.repository.variants.convert_tflite import convert, run_tflite
    from hub_tfx.repository.variants.tflite import FILE

    import_packages(imports)
    made = convert(module, signature, select_ops)
    (directory / FILE).write_bytes(made.content)
    probes = probe_rows(made.spec, made.words)
    outputs = run_tflite(directory / FILE, made.spec, probes)
    difference = compare_with(module, made.signature, probes, outputs, _TFLITE_DIFFERENCE)
    return {
        "signature": made.signature,
        "largest_difference": difference,
        "needs_flex": made.needs_flex,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
