"""FineTuneConfig: what to learn, how long, and which part of the model learns how fast."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from hub_tfx._config import as_tuple, parse_config
from hub_tfx.errors import ConfigError

Task = Literal["classification", "multilabel", "regression", "similarity"]
_CHOICES = {
    "task": ("classification", "multilabel", "regression", "similarity"),
    "decay": ("none", "linear", "cosine"),
}
_MAX_SEED = 2**31 - 1  # Of TensorFlow's operations.
_TUPLES = ("classes", "hidden")
_MAPPINGS = ("class_weights", "inputs")
_MAY_BE_NONE = (
    "signature",
    "pair",
    "module_learning_rate",
    "unfreeze_after",
    "eval_steps",
    "patience",
)


def _is_whole(value: Any) -> bool:
    return type(value) is int  # A bool is one to isinstance.


# What options take -> whether a value is that, and which options these are.
_RULES: Mapping[str, tuple[Callable[[Any], bool], tuple[str, ...]]] = {
    "texts": (
        lambda value: isinstance(value, str),
        ("label", "classes", "signature", "inputs", "pair"),
    ),
    "True or False": (
        lambda value: isinstance(value, bool),
        ("freeze", "allow_signature_changes"),
    ),
    "whole numbers from 1": (
        lambda value: _is_whole(value) and value >= 1,
        ("hidden", "steps", "batch_size", "eval_every", "eval_steps", "patience"),
    ),
    f"whole numbers from 0 to {_MAX_SEED}": (
        lambda value: _is_whole(value) and 0 <= value <= _MAX_SEED,
        ("seed", "warmup_steps", "unfreeze_after"),
    ),
    "numbers from 0": (
        lambda value: type(value) in (int, float) and 0 <= value < math.inf,
        ("class_weights", "learning_rate", "module_learning_rate", "weight_decay"),
    ),
    "numbers from 0 to below 1": (
        lambda value: type(value) in (int, float) and 0 <= value < 1,
        ("dropout",),
    ),
}


@dataclass(frozen=True)
class FineTuneConfig:
    """How a module is fine-tuned. ``from_json(c.to_json()) == c``; unknown keys are refused.

    Raises ConfigError for a value of another type than is said here, or out of its range.

    Attributes:
      label: feature that holds the label. Its values are class names or class ids (one for
        ``classification``, any number for ``multilabel``), a number for ``regression``, and for
        ``similarity`` 1 where the two texts or images of a row belong together, else 0.
      task: what is learned.
      classes: names of the classes, in the order of their ids; empty to take what the training data
        holds, sorted. Two classes are a binary classifier.
      class_weights: class name -> weight of its rows in the loss; 1 where none is given.
      signature: of the base module; None for the default one.
      inputs: input key -> feature, as in EmbedConfig. For ``similarity``, with one input: the
        feature of the first of the pair; ``pair`` names that of the second.
      pair: see ``inputs``.
      hidden: units of the layers between module and output.
      dropout: share of units dropped before each of the head's layers while training.
      steps: of training, all told; a run that resumes does what is left.
      batch_size: rows a step.
      learning_rate: of the head.
      module_learning_rate: of the module; None for that of the head.
      freeze: whether the module keeps its weights.
      unfreeze_after: steps after which a module learns that is frozen until then.
      warmup_steps: over which learning rates rise from 0.
      decay: of learning rates after the warm-up, down to 0 at the last step.
      weight_decay: L2 factor on the head's weights; the module brings its own losses.
      eval_every: steps between evaluations.
      eval_steps: batches of an evaluation; None for all.
      patience: evaluations without a better loss after which training stops; None to go on. Those
        of a module that is yet to be unfrozen do not count.
      seed: of everything random: two runs on a CPU are equal.
      allow_signature_changes: in ModuleTrainer, whether the module that a run_fn of your own
        exports may lack signatures of its parent; ours keep them.
    """

    label: str
    task: Task = "classification"
    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, float] = field(default_factory=dict)
    signature: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    pair: str | None = None
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    module_learning_rate: float | None = None
    freeze: bool = False
    unfreeze_after: int | None = None
    warmup_steps: int = 0
    decay: Literal["none", "linear", "cosine"] = "none"
    weight_decay: float = 0.0
    eval_every: int = 200
    eval_steps: int | None = None
    patience: int | None = None
    seed: int = 0
    allow_signature_changes: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        for wanted, (is_right, names) in _RULES.items():
            for name in names:
                self._check(name, is_right, wanted)
        if self.unfreeze_after is not None and not self.freeze:
            raise ConfigError("unfreeze_after needs freeze: without it the module learns at once")
        if (self.task == "similarity") != (self.pair is not None):
            raise ConfigError("pair names the second feature of task similarity, and of no other")

    def _check(self, name: str, is_right: Callable[[Any], bool], wanted: str) -> None:
        value: Any = getattr(self, name)
        items: Iterable[Any] | None = (value,)
        if name in _TUPLES:
            items, wanted = value if isinstance(value, tuple) else None, f"a tuple of {wanted}"
        elif name in _MAPPINGS:
            items = value.values() if isinstance(value, Mapping) else None
            wanted = f"a mapping to {wanted}"
        elif value is None and name in _MAY_BE_NONE:
            return
        if items is None or not all(map(is_right, items)):
            raise ConfigError(f"{name} takes {wanted}, not {value!r}")

    @property
    def module_lr(self) -> float:
        """Learning rate of the module, once it learns."""
        if self.module_learning_rate is None:
            return self.learning_rate
        return self.module_learning_rate

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "FineTuneConfig":
        """Raises ConfigError for anything but what ``to_json`` writes, defaults left out or not."""
        document = parse_config(text, "fine-tune config", [f.name for f in fields(cls)])
        if "label" not in document:
            raise ConfigError("fine-tune config: `label` is missing: name the feature to learn")
        lists = {name: as_tuple(name, document.get(name, [])) for name in ("classes", "hidden")}
        return cls(**{**document, **lists})
