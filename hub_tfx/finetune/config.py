"""FineTuneConfig: what to learn, how long, and which part of the model learns how fast."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from hub_tfx._config import JobConfig, Range
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.errors import ConfigError

Task = Literal["classification", "multilabel", "regression", "similarity"]
_Count = Annotated[int, Range(least=1)]
_Number = Annotated[int, Range(least=0, most=2**31 - 1)]  # That TensorFlow's operations take.
_Rate = Annotated[float, Range(least=0, below=math.inf)]
_WITHOUT_EFFECT: Mapping[Task, tuple[str, tuple[str, ...]]] = {
    "regression": ("learns a number and knows no classes", ("classes", "class_weights")),
    "similarity": (
        "compares vectors of the module itself, without classes or a head",
        ("classes", "class_weights", "hidden", "dropout", "weight_decay"),
    ),
}
"""Task -> why it has no use for some keys, and which."""


@dataclass(frozen=True)
class FineTuneConfig(JobConfig):
    """How a module is fine-tuned; see JobConfig for the JSON and for what is refused.

    Attributes:
      label: feature that holds the label. Its values are class names or class ids (one for
        ``classification``, any number for ``multilabel``), a number for ``regression``, and for
        ``similarity`` 1 where the two texts or images of a row belong together, 0 otherwise.
      task: what is learned from the labels.
      classes: names of the classes, in the order of their ids; empty to take what the training data
        holds, sorted. Two classes are a binary classifier. For tasks with classes only, as is
        ``class_weights``.
      class_weights: class name -> weight of its rows in the loss; 1 where none is given.
      signature: name of the base module's signature that is trained; None for the default one.
      inputs: input key -> feature, as in EmbedConfig. For ``similarity``, with one input: the
        feature of the first of the pair; ``pair`` names that of the second.
      pair: feature of the second text or image of a pair; for ``similarity`` only.
      text_encoding, image_source, image_size, imports: what features hold and how it is fed, as in
        EmbedConfig.
      max_dead_letter_ratio: training does not start where more than this share of the rows cannot
        be learned from.
      hidden: units of each layer between module and output; ``similarity`` has no such head, and
        takes neither this nor ``dropout`` and ``weight_decay``.
      dropout: share of units dropped before each of the head's layers while training.
      steps: training steps in total; a run that resumes takes those that are left.
      batch_size: rows of a step.
      learning_rate: learning rate of the head.
      module_learning_rate: learning rate of the module, if it ever learns; None for that of the
        head.
      freeze: whether the module keeps its weights.
      unfreeze_after: steps after which a frozen module begins to learn; None for never.
      warmup_steps: steps over which learning rates rise from 0.
      decay: how learning rates fall after the warm-up, to 0 at the last step.
      weight_decay: L2 factor on the head's weights; the module brings its own losses.
      eval_every: steps between two evaluations.
      eval_steps: batches of an evaluation; None for all.
      patience: evaluations without a better loss after which training stops; None for no limit.
        Those before a frozen module begins to learn do not count.
      seed: seed of everything that is random; two runs with one seed on a CPU are equal.
      threads: for ops of TensorFlow; None for one a core.
      allow_signature_changes: in ModuleTrainer, whether the module that a run_fn of your own
        exports may lack signatures of its parent; ours keep them.
    """

    NAME = "fine-tune config"
    LATER = ("threads",)

    label: str
    task: Task = "classification"
    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, _Rate] = field(default_factory=dict)
    signature: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    pair: str | None = None
    text_encoding: Literal["utf-8", "bytes"] = "utf-8"
    image_source: Literal["bytes", "path"] = "bytes"
    image_size: tuple[_Count, _Count] | None = None
    imports: tuple[str, ...] = ()
    max_dead_letter_ratio: Annotated[float, Range(least=0, most=1)] = 1.0
    hidden: tuple[_Count, ...] = ()
    dropout: Annotated[float, Range(least=0, below=1)] = 0.0
    steps: _Count = 1000
    batch_size: _Count = 64
    learning_rate: _Rate = 1e-3
    module_learning_rate: _Rate | None = None
    freeze: bool = False
    unfreeze_after: _Number | None = None
    warmup_steps: _Number = 0
    decay: Literal["none", "linear", "cosine"] = "none"
    weight_decay: _Rate = 0.0
    eval_every: _Count = 200
    eval_steps: _Count | None = None
    patience: _Count | None = None
    seed: _Number = 0
    allow_signature_changes: bool = False
    threads: _Count | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unfreeze_after is not None and not self.freeze:
            raise ConfigError("unfreeze_after needs freeze: without it the module learns at once")
        if self.freeze and self.unfreeze_after is None and self.module_learning_rate is not None:
            raise ConfigError(
                "module_learning_rate has no effect on a module that is frozen for good: leave it "
                "out, or say with unfreeze_after when the module begins to learn"
            )
        if (self.task == "similarity") != (self.pair is not None):
            raise ConfigError(
                "pair names the second feature of task similarity: give it there, and only there"
            )
        why, keys = _WITHOUT_EFFECT.get(self.task, ("", ()))
        if given := [key for key in keys if getattr(self, key)]:
            raise ConfigError(
                f"{', '.join(given)} would have no effect: task {self.task} {why}; leave it out"
            )

    @property
    def feeding(self) -> EmbedConfig:
        """What feeds the module, in the words of embedding."""
        return EmbedConfig(
            signature=self.signature,
            inputs=self.inputs,
            text_encoding=self.text_encoding,
            image_source=self.image_source,
            image_size=self.image_size,
            imports=self.imports,
            max_dead_letter_ratio=self.max_dead_letter_ratio,
        )

    @property
    def module_lr(self) -> float:
        """Learning rate of the module, once it learns."""
        if self.module_learning_rate is None:
            return self.learning_rate
        return self.module_learning_rate
