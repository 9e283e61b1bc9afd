"""The run_fn that ModuleTrainer runs unless it is given another: copy it and edit.

It gets TFX's FnArgs. In ``custom_config`` ModuleTrainer has put ``fine_tune`` (JSON of a
FineTuneConfig) and ``module_dir``, where the tuned module must be when it returns. ``base_model``
is the directory of the base module, or of what module_fn built; None where there is neither.
``preprocessor``, if it is there, is the directory of a module that feeds the base module. The
serving model goes to ``serving_model_dir``, everything else to ``model_run_dir``: also
``left_out/``, the rows that cannot be learned from, with their reasons.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from hub_tfx.errors import ConfigError
from hub_tfx.finetune import dataset
from hub_tfx.finetune.collect import collect_examples
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import deliver, write_metrics, write_rows
from hub_tfx.finetune.features import Features, signature_of
from hub_tfx.finetune.heads import Head
from hub_tfx.finetune.job import trainer_of
from hub_tfx.finetune.labels import check_classes
from hub_tfx.finetune.left_out import LEFT_OUT
from hub_tfx.finetune.training import Inputs, TrainingJob
from hub_tfx.finetune.transformed import label_rule, schema_of, vocabulary
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import import_packages
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.process import prepare_process
from hub_tfx.module.resolved import ResolvedModule


def run_fn(fn_args: Any) -> None:
    """Fine-tunes ``fn_args.base_model`` on transformed Examples.

    Raises:
      ConfigError: there is no module to start from, no Transform graph, or the label has no
        vocabulary in it, or fewer than two classes.
      AuthoringError: the module cannot be trained.
    """
    config = FineTuneConfig.from_json(fn_args.custom_config["fine_tune"])
    if not fn_args.transform_graph_path:
        raise ConfigError(
            "the default run_fn needs a transform_graph; give one, or your own run_fn"
        )
    if not fn_args.base_model:
        raise ConfigError(
            "the default run_fn needs a module to start from: give base_module or module_fn"
        )
    prepare_process(config.threads)
    import_packages(config.imports)
    policy = SafetyPolicy(imports=config.imports)
    base = ResolvedModule.of_directory(fn_args.base_model, policy=policy)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    preprocessor = fn_args.custom_config.get("preprocessor")
    features = Features.of(
        config,
        base.spec,
        schema_of(transform.transformed_feature_spec()),
        preprocessor=inspect(preprocessor) if preprocessor else None,
    )
    classes, work_dir = _classes(config, transform), Path(fn_args.model_run_dir)
    with tempfile.TemporaryDirectory() as folder:
        collected = collect_examples(
            {"train": fn_args.train_files, "eval": fn_args.eval_files},
            features,
            label_rule(config, transform),
            Path(folder),
            work_dir / LEFT_OUT,
        )
        signature, signature_spec = signature_of(config, base.spec)
        # Eager tables are saved with the layer that holds them; an Estimator's graph has its own.
        is_eager = base.spec.format == "saved_model"
        layer = transform.transform_features_layer() if is_eager else None

        def batches(name: str) -> Any:
            return dataset.batches(
                [str(collected.paths[name])],
                lambda examples: (features.parse(examples), _labels(config, transform, examples)),
                config,
                training=name == "train",
                row_bytes=collected.row_bytes,
            )

        trained = trainer_of(base)(
            TrainingJob(
                base=base.path,
                signature=signature,
                signature_spec=signature_spec,
                head=Head.of(config, classes),
                config=config,
                train=lambda: batches("train"),
                evaluate=lambda: batches("eval"),
                serving=lambda examples: _serving_inputs(
                    features, transform, layer, config, examples
                ),
                serving_resources=layer,
                work_dir=work_dir,
                preprocessor=Path(preprocessor) if preprocessor else None,
                sources={"examples": collected.digest},
            )
        )
    deliver(trained.best, Path(fn_args.custom_config["module_dir"]))
    deliver(trained.serving, Path(fn_args.serving_model_dir))
    write_metrics(work_dir, trained.best_metrics)
    write_rows(work_dir, collected.rows)


def _classes(config: FineTuneConfig, transform: tft.TFTransformOutput) -> tuple[str, ...]:
    """Class names in the order of their ids: those of the config, or the label's vocabulary."""
    if config.task not in ("classification", "multilabel"):
        return ()
    classes = config.classes or vocabulary(config, transform)
    if not classes:
        raise ConfigError(
            f"the Transform graph has no vocabulary {config.label!r}: make one in preprocessing_fn "
            f"(vocab_filename={config.label!r}), or name the classes in the config"
        )
    check_classes(config, classes)
    return classes


def _labels(config: FineTuneConfig, transform: tft.TFTransformOutput, serialized: Any) -> Any:
    spec = transform.transformed_feature_spec()[config.label]
    if config.task != "multilabel":  # Rows without one label are left out.
        spec = tf.io.FixedLenFeature([], spec.dtype)
    values = tf.io.parse_example(serialized, {config.label: spec})[config.label]
    if config.task not in ("classification", "multilabel"):
        return tf.cast(tf.reshape(values, [-1]), tf.float32)
    classes, words = config.classes, vocabulary(config, transform)
    if isinstance(values, tf.SparseTensor):
        ids = tf.RaggedTensor.from_sparse(values)
        ids = ids.with_values(_by_config(ids.values, classes, words))
        return dataset.multi_hot(ids, len(classes or words))
    if config.task == "multilabel":
        return tf.cast(values, tf.float32)
    return _by_config(tf.cast(tf.reshape(values, [-1]), tf.int64), classes, words)


def _by_config(ids: Any, classes: Sequence[str], words: Sequence[str]) -> Any:
    """Ids of the vocabulary, which is sorted by frequency, as those of the config's classes."""
    if not classes or not words:
        return ids
    mine = [classes.index(word) if word in classes else -1 for word in words]
    return tf.where(ids < 0, ids, tf.gather(tf.constant(mine, tf.int64), tf.maximum(ids, 0)))


def _serving_inputs(
    features: Features,
    transform: tft.TFTransformOutput,
    layer: Any,
    config: FineTuneConfig,
    serialized: Any,
) -> Inputs:
    raw_spec = transform.raw_feature_spec()
    raw_spec.pop(config.label, None)
    raw = tf.io.parse_example(serialized, raw_spec)
    if layer is not None:
        transformed = layer(raw)
    else:
        transformed = transform.transform_raw_features(raw, drop_unused_features=True)
    return {
        key: features.tensor(key, transformed[feature]) for key, feature in features.inputs.items()
    }
