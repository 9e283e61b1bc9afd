"""Steps a second of fine-tuning against a bare training loop, both in one run.

    python -m benchmarks.finetune_overhead [--image] [--steps 2000] [--repeat 3]

The bare loop is ``hub.load``, a dense layer, Adam and a tf.function of one step, called from
Python, over the same tf.data input: it tells nobody how it goes, and keeps nothing. ``bare, fused``
is the same with the Adam that hub_tfx uses, Keras' older one with its fused op. Loading, tracing
and the export are in none of the figures. Only the ratios mean anything: machines are shared.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
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

_WORDS = 20_000
_DIM = 64
_WARM_UP = 5
_CLASSES = ("no", "yes")


def text_rows(count: int) -> tuple[Any, Any]:
    """Texts of 5 to 40 words, and a class for each."""
    rng = random.Random(0)
    words = [f"word{n}" for n in range(_WORDS)]
    texts = [" ".join(rng.choices(words, k=rng.randint(5, 40))) for _ in range(count)]
    return texts, np.arange(count) % 2


def text_module(path: Path, module_format: Any) -> Path:
    vectors = np.random.default_rng(0).normal(size=(_WORDS, _DIM)).astype(np.float32)
    words = [f"word{n}" for n in range(_WORDS)]
    return text_embedding_module(words, vectors, path, format=module_format).path


def image_rows(count: int, size: int) -> tuple[Any, Any]:
    images = np.random.default_rng(0).uniform(size=(count, size, size, 3)).astype(np.float32)
    return images, np.arange(count) % 2


def image_module(path: Path, module_format: Any, size: int) -> Path:
    model = tf.keras.applications.MobileNetV2(
        (size, size, 3), weights=None, include_top=False, pooling="avg"
    )
    return image_feature_module(model, path, format=module_format).path


def batches(rows: tuple[Any, Any], batch_size: int, key: str) -> Any:
    """Shuffled, without an end, as ``finetune.data`` makes them."""
    dataset = tf.data.Dataset.from_tensor_slices(({key: rows[0]}, rows[1]))
    return dataset.shuffle(len(rows[1]), seed=0).repeat().batch(batch_size).prefetch(4)


def bare_saved_model(base: Path, dataset: Any, config: FineTuneConfig, adam: Any) -> float:
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
    for done, (inputs, labels) in enumerate(dataset.take(config.steps)):
        if done == _WARM_UP:
            started_s = time.perf_counter()
        loss = step(next(iter(inputs.values())), labels)
    float(loss)  # Waits for the last step.
    return (config.steps - _WARM_UP) / (time.perf_counter() - started_s)


def with_hub_tfx(
    train: Trainer, base: Path, work_dir: Path, dataset: Any, config: FineTuneConfig
) -> float:
    """Steps a second of a trainer, between its first report and its last before evaluation."""
    spec = inspect(base)
    told: list[tuple[float, int]] = []

    def report(progress: Progress) -> None:
        if progress.loss is not None and progress.step >= _WARM_UP:
            told.append((time.perf_counter(), progress.step))

    job = TrainingJob(
        base=base,
        signature=spec.default_signature,
        signature_spec=spec.signature(),
        head=Head.of(config, _CLASSES),
        config=config,
        train=lambda: dataset,
        evaluate=lambda: dataset.take(1),
        serving=lambda examples: _serving(examples, dataset.element_spec[0]),
        work_dir=work_dir,
        report=report,
    )
    train(job)
    (first_s, first), (last_s, last) = told[0], told[-1]
    return (last - first) / (last_s - first_s)


def _serving(examples: Any, specs: Any) -> Any:
    features = {k: tf.io.FixedLenFeature(v.shape[1:], v.dtype) for k, v in specs.items()}
    return tf.io.parse_example(examples, features)


def trainers() -> dict[str, tuple[Trainer, dict[str, Callable[..., float]]]]:
    """Format -> its trainer, and the bare loops beside it."""
    from hub_tfx.finetune import keras

    adams = {"bare": tf.keras.optimizers.Adam, "bare, fused": tf.keras.optimizers.legacy.Adam}

    def bare(adam: Any) -> Callable[..., float]:
        return lambda base, dataset, config: bare_saved_model(base, dataset, config, adam)

    return {"saved_model": (keras.train, {name: bare(adam) for name, adam in adams.items()})}


def main() -> None:
    """Prints steps a second, and what share of each bare loop's hub_tfx has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", action="store_true", help="a MobileNetV2, not words")
    parser.add_argument("--size", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--steps", type=int, help="default: 2000, of images 40")
    parser.add_argument("--batch-size", type=int, help="default: 64, of images 16")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    steps = arguments.steps or (40 if arguments.image else 2000)
    batch_size = arguments.batch_size or (16 if arguments.image else 64)
    config = FineTuneConfig("label", steps=steps, batch_size=batch_size, eval_every=steps)
    rows = image_rows(4 * batch_size, arguments.size) if arguments.image else text_rows(10_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module_format, (train, loops) in trainers().items():
            path = folder / module_format
            if arguments.image:
                base = image_module(path, module_format, arguments.size)
            else:
                base = text_module(path, module_format)
            (key,) = inspect(base).signature().inputs
            dataset = batches(rows, batch_size, key)
            rates: dict[str, list[float]] = {name: [] for name in (*loops, "hub_tfx")}
            for n in range(arguments.repeat):
                for loop, run in loops.items():
                    rates[loop].append(run(base, dataset, config))
                work_dir = folder / f"{module_format}-{n}"
                rates["hub_tfx"].append(with_hub_tfx(train, base, work_dir, dataset, config))
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
