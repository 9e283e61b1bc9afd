"""A module that is made for a fine-tuning: it begins with what its variables are initialised to."""

import functools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from hub_tfx.errors import AuthoringError, ConfigError
from hub_tfx.module.code_digest import code_digest
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.module.user_function import import_function, variants


@dataclass(frozen=True)
class NewModule:
    """A module that has no parent.

    Attributes:
      module_fn: ``package.module:function`` that builds it. For ``tf1_hub`` as
        hub.create_module_spec takes it; where it has a parameter ``is_training`` it builds two
        variants, one without tags and one tagged ``train``. For ``saved_model`` it takes nothing
        and returns a built Keras 2 model.
      format: of the module.
    """

    module_fn: str
    format: ModuleFormat = "tf1_hub"

    def __post_init__(self) -> None:
        if self.format not in get_args(ModuleFormat):
            raise ConfigError(f"unknown format {self.format!r}: choose tf1_hub or saved_model")

    def create(self, folder: Path, seed: int) -> ResolvedModule:
        """Makes the module in a folder, unless an earlier call with the same code did.

        Equal seeds give equal weights. For ``saved_model``, Python, NumPy and TensorFlow have the
        seed while the function runs.

        Raises:
          ConfigError: there is no such function, or it needs arguments.
          AuthoringError: it fails or does not build a valid module.
          OutputError: the folder cannot be written.
        """
        path = folder / f"{self.module_fn}-{self.format}-{seed}-{self.code_digest[:16]}"
        if not path.exists():
            function = import_function(self.module_fn)
            creators = {"tf1_hub": _create_tf1_hub, "saved_model": _create_saved_model}
            creators[self.format](function, path, seed)
        # It is what a function of the user's has made, in this very process.
        return ResolvedModule.of_directory(path, self.module_fn, SafetyPolicy("off"))

    @property
    def code_digest(self) -> str:
        """Digest of what module_fn does; raises ConfigError where there is no such function."""
        return code_digest(import_function(self.module_fn))


def check_format(wanted: ModuleFormat | None, parent: ResolvedModule) -> None:
    """Raises ConfigError where another format is wanted than the parent's."""
    if wanted not in (None, parent.spec.format):
        raise ConfigError(
            f"the format {wanted} does not fit: a tuned module keeps that of its parent, and "
            f"{parent.handle} has {parent.spec.format}"
        )


def _create_tf1_hub(module_fn: Callable[..., Any], path: Path, seed: int) -> None:
    import tensorflow as tf

    from hub_tfx.module.create.export import module

    @functools.wraps(module_fn)
    def seeded(**arguments: Any) -> None:
        tf.compat.v1.set_random_seed(seed)  # Of the graph that is being built.
        module_fn(**arguments)

    module(seeded, variants(module_fn), path)


def _create_saved_model(module_fn: Callable[..., Any], path: Path, seed: int) -> None:
    import tensorflow as tf

    from hub_tfx.module.create.export import eagerly, staged

    with eagerly(), staged(path) as directory, _seeded(seed):
        try:
            model = module_fn()
            if not isinstance(model, tf.keras.Model) or not model.built:
                raise TypeError(
                    f"it returned {model!r}, not a Keras 2 model (tf.keras.Model) that begins with "
                    "tf.keras.Input or was built"
                )
            tf.saved_model.save(model, os.fspath(directory))
        except Exception as error:
            raise AuthoringError(
                f"the module function {module_fn.__name__} does not build a valid module: "
                f"{type(error).__name__}: {error}"
            ) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds all that is random, and takes it back: rows are shuffled in another order where
    TensorFlow has a global seed, and a run that resumes does not make the module again."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.eager import context

    states = random.getstate(), np.random.get_state(), context.global_seed()
    try:
        tf.keras.utils.set_random_seed(seed)
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        tf.random.set_seed(states[2])
