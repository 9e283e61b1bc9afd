"""Steps a second of fine-tuning against a bare training loop, both in one run.

    python -m benchmarks.finetune_overhead [--steps 2000] [--repeat 5]          a light text module
    python -m benchmarks.finetune_overhead --image [--steps 60] [--repeat 5]    a MobileNetV2

A smoke run: ``--steps 500 --repeat 1``, and ``--image --size 32 --batch-size 2 --steps 300``.

A bare loop applies the same module and head to the same tf.data input, tells nobody how it goes,
and keeps nothing. For a SavedModel it is ``hub.load``, Adam and a tf.function of one step, called
from Python; ``fused`` is the same with the Adam that hub_tfx uses, Keras' older one with its fused
op. For the TF1 hub format it is a ``hub.Module`` in a graph, and a session that runs its step.
Loading, tracing, evaluation and export are in none of the figures.

Each round runs all of them one after the other; the ratio is the median of the rounds' ratios.
Only ratios mean anything, machines are shared. Wanted: 0.9 of the bare loop at least.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_hub as hub  # noqa: E402

from hub_tfx.finetune.config import FineTuneConfig  # noqa: E402
from hub_tfx.finetune.heads import Head  # noqa: E402
from hub_tfx.finetune.training import Progress, Trainer, TrainingJob  # noqa: E402
from hub_tfx.module.create import image_feature_module, text_embedding_module  # noqa: E402
from hub_tfx.module.inspect import inspect  # noqa: E402
from hub_tfx.module.spec import ModuleFormat  # noqa: E402

_WORDS = 20_000
_DIM = 64
_WARM_UP = 5
_CLASSES = ("no", "yes")

MakeBatches = Callable[[], Any]
Loop = Callable[[Path, MakeBatches, FineTuneConfig], float]
"""A training of a module; gives its steps a second."""


def text_rows(count: int) -> tuple[Any, Any]:
    """Texts of 5 to 40 words, and a class for each."""
    rng = random.Random(0)
    words = [f"word{n}" for n in range(_WORDS)]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 40))) for _ in range(count)]
    return texts, np.arange(count) % 2


def text_module(path: Path, module_format: ModuleFormat) -> Path:
    vectors = np.random.default_rng(0).normal(size=(_WORDS, _DIM)).astype(np.float32)
    words = [f"word{n}" for n in range(_WORDS)]
    return text_embedding_module(words, vectors, path, format=module_format).path


def image_rows(count: int, size: int) -> tuple[Any, Any]:
    images = np.random.default_rng(0).uniform(size=(count, size, size, 3)).astype(np.float32)
    return images, np.arange(count) % 2


def image_module(path: Path, module_format: ModuleFormat, size: int) -> Path:
    model = tf.keras.applications.MobileNetV2(
        (size, size, 3), weights=None, include_top=False, pooling="avg"
    )
    return image_feature_module(model, path, format=module_format).path


def batches(rows: tuple[Any, Any], batch_size: int, key: str) -> Any:
    """Shuffled, without an end, as ``finetune.data`` makes them; in the graph that is current."""
    dataset = tf.data.Dataset.from_tensor_slices(({key: rows[0]}, rows[1]))
    return dataset.shuffle(len(rows[1]), seed=0).repeat().batch(batch_size).prefetch(4)


def bare_saved_model(
    base: Path, make_batches: MakeBatches, config: FineTuneConfig, adam: Any
) -> float:
    """Steps a second of a loop as a tutorial has it."""
    module = hub.load(str(base))
    head = tf.keras.layers.Dense(1)
    optimizer = adam(config.learning_rate)
    loss_of = tf.keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(inputs: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = head(module(inputs, training=True))
            loss = loss_of(labels[:, None], logits)
            loss += tf.add_n([tf.zeros([]), *(item() for item in module.regularization_losses)])
        variables = [*module.trainable_variables, *head.trainable_variables]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    started_s = 0.0
    for done, (inputs, labels) in enumerate(make_batches().take(config.steps)):
        if done == _WARM_UP:
            started_s = time.perf_counter()
        loss = step(next(iter(inputs.values())), labels)
    float(loss)  # Waits for the last step.
    return (config.steps - _WARM_UP) / (time.perf_counter() - started_s)


def bare_tf1_hub(base: Path, make_batches: MakeBatches, config: FineTuneConfig) -> float:
    """The same of a graph and a session."""
    v1 = tf.compat.v1
    with tf.Graph().as_default():
        inputs, labels = v1.data.make_one_shot_iterator(make_batches()).get_next()
        module = hub.Module(str(base), trainable=True, tags={"train"})
        vectors = module(inputs)
        weights = v1.get_variable("weights", [vectors.shape[1], 1])
        logits = tf.matmul(vectors, weights) + v1.get_variable("bias", [1])
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), logits[:, 0])
        loss = tf.reduce_mean(losses) + v1.losses.get_regularization_loss()
        with tf.control_dependencies(v1.get_collection(v1.GraphKeys.UPDATE_OPS)):
            step = v1.train.AdamOptimizer(config.learning_rate).minimize(loss)
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.tables_initializer()])
            for _ in range(_WARM_UP):
                session.run(step)
            started_s = time.perf_counter()
            for _ in range(config.steps - _WARM_UP):
                session.run(step)
            return (config.steps - _WARM_UP) / (time.perf_counter() - started_s)


def with_hub_tfx(
    train: Trainer, base: Path, work_dir: Path, make_batches: MakeBatches, config: FineTuneConfig
) -> float:
    """Steps a second of a trainer, from its first report to its last before the evaluation."""
    spec = inspect(base)
    told: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        if progress.loss is not None and _WARM_UP <= progress.step < config.steps:
            told.append((time.perf_counter(), progress.step))

    specs = make_batches().element_spec[0]
    job = TrainingJob(
        base=base,
        signature=spec.default_signature,
        signature_spec=spec.signature(),
        head=Head.of(config, _CLASSES),
        config=config,
        train=make_batches,
        evaluate=lambda: make_batches().take(1),
        serving=lambda examples: _serving(examples, specs),
        work_dir=work_dir,
        report=report,
    )
    train(job)
    if len(told) < 2:
        raise SystemExit("too short to be timed: raise --steps")
    (first_s, first), (last_s, last) = told[0], told[-1]
    return (last - first) / (last_s - first_s)


def _serving(examples: Any, specs: Any) -> Any:
    features = {k: tf.io.FixedLenFeature(v.shape[1:], v.dtype) for k, v in specs.items()}
    return tf.io.parse_example(examples, features)


def trainers() -> dict[ModuleFormat, tuple[Trainer, dict[str, Loop]]]:
    """Format -> its trainer, and the bare loops beside it."""
    from hub_tfx.finetune.saved_model.trainer import train as train_saved_model
    from hub_tfx.finetune.tf1_hub.trainer import train as train_tf1_hub

    adams = {"bare": tf.keras.optimizers.Adam, "fused": tf.keras.optimizers.legacy.Adam}
    loops: dict[str, Loop] = {n: partial(bare_saved_model, adam=a) for n, a in adams.items()}
    return {
        "saved_model": (train_saved_model, loops),
        "tf1_hub": (train_tf1_hub, {"bare": bare_tf1_hub}),
    }


def main() -> None:
    """Prints steps a second, and what share of each bare loop's hub_tfx has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", action="store_true", help="a MobileNetV2, not words")
    parser.add_argument("--size", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--format", choices=["saved_model", "tf1_hub"], help="default: both")
    parser.add_argument("--steps", type=int, help="default: 2000, of images 60")
    parser.add_argument("--batch-size", type=int, help="default: 64, of images 16")
    parser.add_argument("--repeat", type=int, default=5, help="rounds")
    arguments = parser.parse_args()
    steps = arguments.steps or (60 if arguments.image else 2000)
    batch_size = arguments.batch_size or (16 if arguments.image else 64)
    config = FineTuneConfig("label", steps=steps, batch_size=batch_size, eval_every=steps)
    rows = image_rows(4 * batch_size, arguments.size) if arguments.image else text_rows(10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module_format, (train, loops) in trainers().items():
            if arguments.format not in (None, module_format):
                continue
            if arguments.image:
                base = image_module(folder / module_format, module_format, arguments.size)
            else:
                base = text_module(folder / module_format, module_format)
            (key,) = inspect(base).signature().inputs
            make_batches = partial(batches, rows, batch_size, key)
            rates: dict[str, list[float]] = {name: [] for name in (*loops, "hub_tfx")}
            for n in range(arguments.repeat):
                for loop, run in loops.items():
                    rates[loop].append(run(base, make_batches, config))
                work_dir = folder / f"{module_format}-{n}"
                rates["hub_tfx"].append(with_hub_tfx(train, base, work_dir, make_batches, config))
            _print(module_format, rates)


def _print(module_format: str, rates: dict[str, list[float]]) -> None:
    mine = rates.pop("hub_tfx")
    print(f"{module_format:<12}{'hub_tfx':<12}{statistics.median(mine):>10,.1f} steps/s")
    for loop, theirs in rates.items():
        ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
        print(
            f"{module_format:<12}{loop:<12}{statistics.median(theirs):>10,.1f} steps/s   "
            f"hub_tfx / {loop} {statistics.median(ratios):.2f}   "
            f"({', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )


if __name__ == "__main__":
    main()
