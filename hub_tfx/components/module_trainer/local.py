"""What a run_fn reads and writes lies on this machine: Python and TensorFlow do not know every
filesystem that Beam does."""

import copy
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from apache_beam.io.filesystem import BeamIOError

from hub_tfx.data.filesystems import copy_directory, is_local, local_directory
from hub_tfx.errors import OutputError

Artifacts = Mapping[str, Sequence[Any]]

_SMALL = ("transform_graph", "schema")
_LARGE = ("examples",)
_WRITTEN = ("model", "model_run")


@contextmanager
def local_inputs(inputs: Artifacts) -> Iterator[dict[str, list[Any]]]:
    """The artifacts, with copies in the place of those that lie elsewhere; they go at the end.

    Examples are copied only where TensorFlow does not read their filesystem itself. Modules are
    left to ``read_module``, which verifies the copy that it makes.
    """
    with ExitStack() as stack:
        yield {
            key: [
                _local(artifact, stack) if _is_copied(key, artifact) else artifact
                for artifact in of_key
            ]
            for key, of_key in inputs.items()
        }


def local_outputs(outputs: Artifacts, folder: Path) -> dict[str, list[Any]]:
    """The artifacts that run_fn writes, with folders below ``folder`` in the place of those that
    lie elsewhere; see ``upload``."""
    return {
        key: [
            artifact if is_local(artifact.uri) else _at(artifact, str(folder / key / str(n)))
            for n, artifact in enumerate(of_key)
        ]
        for key, of_key in outputs.items()
        if key in _WRITTEN
    }


def upload(written: Artifacts, outputs: Artifacts) -> None:
    """Copies what run_fn wrote in ``local_outputs`` to where it belongs.

    Raises:
      OutputError: it cannot be written there.
    """
    for key, of_key in written.items():
        for local, artifact in zip(of_key, outputs[key], strict=True):
            if local.uri == artifact.uri:
                continue
            try:
                copy_directory(Path(local.uri), artifact.uri)
            except (OSError, BeamIOError) as error:
                raise OutputError(f"cannot write {key} to {artifact.uri}: {error}") from error


def _is_copied(key: str, artifact: Any) -> bool:
    if is_local(artifact.uri):
        return False
    scheme = artifact.uri.partition("://")[0]
    return key in _SMALL or (key in _LARGE and scheme not in tf.io.gfile.get_registered_schemes())


def _local(artifact: Any, stack: ExitStack) -> Any:
    directory = local_directory(artifact.uri)
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return _at(artifact, directory)


def _at(artifact: Any, uri: str) -> Any:
    moved = copy.deepcopy(artifact)
    moved.uri = uri
    return moved
