"""FineTuneConfig: what to learn, how long, and which part of the model learns how fast."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Literal

from hub_tfx.embed.config import as_tuple, parse_config
from hub_tfx.errors import ConfigError

Task = Literal["classification", "multilabel", "regression", "similarity"]
_CHOICES = {
    "task": ("classification", "multilabel", "regression", "similarity"),
    "decay": ("none", "linear", "cosine"),
}


@dataclass(frozen=True)
class FineTuneConfig:
    """How a module is fine-tuned. ``from_json(c.to_json()) == c``; unknown keys are refused.

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
      patience: evaluations without a better loss after which training stops; None to go on.
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
        for name in ("steps", "batch_size", "eval_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "module_learning_rate", "weight_decay", "dropout"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ConfigError(f"{name} cannot be negative: {value}")
        if self.dropout >= 1:
            raise ConfigError(f"dropout is a share below 1, not {self.dropout}")
        if self.unfreeze_after is not None and not self.freeze:
            raise ConfigError("unfreeze_after needs freeze: without it the module learns at once")
        if (self.task == "similarity") != (self.pair is not None):
            raise ConfigError("pair names the second feature of task similarity, and of no other")

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
        try:
            return cls(**{**document, **lists})
        except TypeError as error:
            raise ConfigError(f"fine-tune config: a value has the wrong type: {error}") from error
