"""Writes a module: complete under its final name, or not there at all."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from hub_tfx._files import check_output_name, staged_directory, why
from hub_tfx.errors import AuthoringError, InputError, OutputError
from hub_tfx.module.files import SAVED_MODEL
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleSpec

TagsAndArgs = Iterable[tuple[Iterable[str], Mapping[str, Any]]]

PLAIN_AND_TRAIN: TagsAndArgs = ((set(), {"training": False}), ({"train"}, {"training": True}))
"""The two variants of our own modules in TF1 hub format."""


@dataclass(frozen=True)
class CreatedModule:
    """A module that was just exported.

    Attributes:
      path: directory of the module.
      digest: SHA-256 of the module's manifest, in hex.
      spec: format and signatures of the module.
      left_out: words of a vocabulary that no text can reach; see ``text_embedding_module``.
    """

    path: Path
    digest: str
    spec: ModuleSpec
    left_out: tuple[str, ...] = ()


def module(
    module_fn: Callable[..., None],
    tags_and_args: TagsAndArgs | None,
    export_path: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str] | None = None,
    drop_collections: Iterable[str] | None = None,
) -> CreatedModule:
    """Exports a graph of the user's own in TF1 hub format, by the rules of hub.create_module_spec.

    ``module_fn`` is called once a variant, each time in a new graph that is not the caller's, and
    declares its signatures with ``hub.add_signature``. Files in ASSET_FILEPATHS are copied in.

    Args:
      module_fn: builds the graph; called with the variant's arguments.
      tags_and_args: ``[(tags, arguments), …]``, one pair a variant; None for one without tags.
      export_path: the new directory; missing parents are made.
      checkpoint: prefix of a checkpoint, or a directory of which the latest is taken; the variables
        come from it by name. If None, they come from their initializers.
      drop_collections: names of graph collections that the module is not to keep.

    Raises:
      AuthoringError: ``module_fn`` fails or builds an invalid module, the variants need variables
        that no single one of them has, or the checkpoint does not fit.
      InputError: the checkpoint does not exist.
      OutputError: ``export_path`` is taken or cannot be written.
    """
    check_is_free(export_path)
    spec = _build_spec(module_fn, tags_and_args, drop_collections)
    variables = _checkpoint_prefix(checkpoint) if checkpoint is not None else None

    def restore(instance: Any) -> Any:
        if variables is not None:
            _init_from_checkpoint(variables, instance.variable_map)
        return tf.compat.v1.initializers.global_variables()

    return _export(spec, export_path, restore, lambda init, session: session.run(init))


def export_with_values(
    module_fn: Callable[..., None],
    values: Mapping[str, Any],
    export_path: str | os.PathLike[str],
) -> CreatedModule:
    """Exports ``module_fn(training=…)`` in both variants with the given values in its variables.

    The values are fed, one variable at a time: as constants they would count against the 2 GB that
    a GraphDef may have.

    Args:
      module_fn: as in ``module``.
      values: name of the variable, without ``:0`` -> its value.
      export_path: the new directory.
    """
    check_is_free(export_path)

    def load(instance: Any, session: Any) -> None:
        for name, variable in instance.variable_map.items():
            variable.load(values[name], session)

    spec = _build_spec(module_fn, PLAIN_AND_TRAIN, None)
    return _export(spec, export_path, lambda instance: instance, load)


def check_is_free(export_path: str | os.PathLike[str]) -> None:
    """Raises OutputError for anything but the name of a directory that is missing or empty."""
    path = Path(export_path)
    if "://" in os.fspath(export_path):
        raise OutputError(f"{export_path} is not on this machine: write the module to a directory")
    check_output_name(path)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise OutputError(f"{path} exists and is not a directory: choose another path")
    if path.is_dir() and any(path.iterdir()):
        raise OutputError(f"{path} is not empty: modules are not overwritten, choose another path")


@contextmanager
def staged(export_path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """A directory to write to, which becomes ``export_path`` when the block ends well.

    Args:
      export_path: the final directory.
      replace: whether to replace an existing directory.

    Raises:
      OutputError: the directory cannot be written, or ``export_path`` was taken meanwhile.
    """
    final = Path(os.path.abspath(export_path))
    try:
        with staged_directory(final, replace=replace) as directory:
            yield directory
    except OSError as error:
        raise OutputError(f"{final} cannot be written: {why(error)}") from error
    except (tf.errors.PermissionDeniedError, tf.errors.ResourceExhaustedError) as error:
        raise OutputError(f"{final} cannot be written: {error.message}") from error


@contextmanager
def eagerly() -> Iterator[None]:
    """Leaves whatever graph the caller is building: a TF2 SavedModel is made outside of one.

    tf.init_scope would not do, since it stays in a graph that was entered by
    ``tf.Graph().as_default()``. The graph here takes what tables and variables put in collections
    even when they are made eagerly.
    """
    with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():
        yield


def created(export_path: str | os.PathLike[str], left_out: Iterable[str] = ()) -> CreatedModule:
    """Describes the module that is now at ``export_path``."""
    path = Path(export_path)
    return CreatedModule(path, Manifest.of_directory(path).digest, inspect(path), tuple(left_out))


def _build_spec(
    module_fn: Callable[..., None],
    tags_and_args: TagsAndArgs | None,
    drop_collections: Iterable[str] | None,
) -> Any:
    pairs = None if tags_and_args is None else [(set(t), dict(a)) for t, a in tags_and_args]
    try:
        return hub.create_module_spec(module_fn, pairs, list(drop_collections or ()))
    except Exception as error:
        name = getattr(module_fn, "__name__", repr(module_fn))
        raise AuthoringError(
            f"the module function {name} does not build a valid module: "
            f"{type(error).__name__}: {error}"
        ) from error


def _export(
    spec: Any,
    export_path: str | os.PathLike[str],
    prepare: Callable[[Any], Any],
    initialize: Callable[[Any, Any], Any],
) -> CreatedModule:
    """Exports one instance of the module.

    ``prepare(instance)`` may add to its graph; ``initialize(what prepare gave, session)`` gives the
    variables their values.
    """
    tags = _tags_with_all_variables(spec)
    with tf.Graph().as_default():
        instance = hub.Module(spec, tags=tags)
        prepared = prepare(instance)
        with tf.compat.v1.Session() as session:
            try:
                initialize(prepared, session)
            except tf.errors.OpError as error:
                raise AuthoringError(
                    f"the module's variables cannot be initialized: {error.message}"
                ) from error
            with staged(export_path) as directory:
                instance.export(os.fspath(directory), session)
                canonicalize(directory / SAVED_MODEL)
    return created(export_path)


def canonicalize(file: Path) -> None:
    """Writes the proto's maps in order, so that two exports of one module have one digest."""
    message = SavedModel.FromString(file.read_bytes())
    file.write_bytes(message.SerializeToString(deterministic=True))


def _tags_with_all_variables(spec: Any) -> set[str]:
    """The tags of the variant to export from, which must have the variables of all variants.

    A module has the variables of that variant only, and hub would find out about missing ones when
    somebody loads another variant.
    """
    names: dict[frozenset[str], set[str]] = {}
    for tags in spec.get_tags():
        with tf.Graph().as_default():
            names[frozenset(tags)] = set(hub.Module(spec, tags=tags).variable_map)
    best = max(names, key=lambda tags: (len(names[tags]), not tags))
    for tags, needed in names.items():
        if missing := sorted(needed - names[best]):
            raise AuthoringError(
                f"the variant {sorted(tags)} has variables that {sorted(best)} does not have: "
                f"{', '.join(missing)}: one variant must define them all"
            )
    return set(best)


def _checkpoint_prefix(checkpoint: str | os.PathLike[str]) -> str:
    path = os.fspath(checkpoint)
    prefix = tf.train.latest_checkpoint(path) if tf.io.gfile.isdir(path) else path
    if prefix is None:
        raise InputError(f"{path} does not hold a checkpoint")
    try:
        tf.train.load_checkpoint(prefix)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise InputError(f"{prefix} is not a readable checkpoint: {error}") from error
    return str(prefix)


def _init_from_checkpoint(prefix: str, variables: Mapping[str, Any]) -> None:
    held = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    try:
        tf.compat.v1.train.init_from_checkpoint(prefix, dict(variables))
    except ValueError as error:
        raise AuthoringError(
            f"the checkpoint {prefix} does not fit the module: {error} "
            f"It holds: {', '.join(sorted(held)) or 'no variables'}"
        ) from error
