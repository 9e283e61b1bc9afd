"""Vectors of two modules never meet: what is read together was made in the same way."""

from collections.abc import Sequence

from apache_beam.io.filesystems import FileSystems

from hub_tfx.embed.generations import ROOT_MARKER, latest_generation
from hub_tfx.embed.manifest import ModuleRef, OutputManifest
from hub_tfx.embed.output.layout import OutputLayout, committed_outputs
from hub_tfx.errors import InputError

_Outputs = Sequence[tuple[OutputLayout, OutputManifest]]


def outputs_of(place: str) -> _Outputs:
    """The outputs in a folder, as ``committed_outputs``, or in the latest generation of a root.

    Raises:
      InputError: a manifest is damaged, or is not of hub_tfx.
      DigestMismatchError: the marker of the generation is damaged.
    """
    outputs = committed_outputs(place)
    if outputs or not FileSystems.exists(FileSystems.join(place, *ROOT_MARKER.split("/"))):
        return outputs
    latest = latest_generation(place)
    return [] if latest is None else committed_outputs(FileSystems.join(place, str(latest.number)))


def check_one_module(outputs: _Outputs) -> None:
    """Raises InputError where vectors do not lie in one space, since they were made in two ways."""
    layout, manifest = outputs[0]
    for other, of_other in outputs[1:]:
        for what, one, two in (
            ("module", manifest.module, of_other.module),
            ("preprocessor", manifest.preprocessor, of_other.preprocessor),
        ):
            if (one and one.digest) != (two and two.digest):
                raise InputError(
                    f"vectors of two modules cannot be taken together: the {what} of "
                    f"{layout.manifest} is {_named(one)}, that of {other.manifest} is "
                    f"{_named(two)}: take them one at a time, or embed one of them again"
                )
        if manifest.signature != of_other.signature:
            raise InputError(
                f"vectors of two signatures cannot be taken together: {layout.manifest} has those "
                f"of {manifest.signature!r}, {other.manifest} of {of_other.signature!r}: take them "
                "one at a time, or embed one of them again"
            )


def _named(module: ModuleRef | None) -> str:
    return "none" if module is None else f"{module.digest} ({module.handle})"
