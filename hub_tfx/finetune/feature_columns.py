"""A run_fn with a canned Estimator on a hub.text_embedding_column: copy it and edit.

``ModuleTrainer(run_fn="hub_tfx.finetune.feature_columns.run_fn", …)`` trains a DNNClassifier. Of
the FineTuneConfig it reads ``label``, ``inputs`` (one text feature; ``text`` if none is named),
``hidden``, ``dropout``, ``freeze``, ``steps``, ``batch_size``, ``learning_rate``, ``eval_every``,
``eval_steps`` and ``seed``; the classes are the label's vocabulary in the Transform graph.

Two things to know of hub's feature columns:

- They apply the plain variant of a module: without its losses on weights and its training mode.
- They learn in the Estimators of ``tf.compat.v1.estimator`` only. Those of ``tf.estimator`` train
  what Keras tracks, and leave the module of a trainable column as it was, without a word.
"""

import os
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_transform as tft
from tensorflow_hub.feature_column import _TextEmbeddingColumn

from hub_tfx.errors import ConfigError
from hub_tfx.finetune import dataset
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import deliver, write_metrics


class ExportedTextColumn(_TextEmbeddingColumn):  # type: ignore[misc]
    """hub.text_embedding_column that registers its module for export, in every mode.

    The module is made inside a canned model_fn, where nobody else can reach it. In one model
    there may be one such column, which hub.LatestModuleExporter exports as ``module``.
    """

    def create_state(self, state_manager: Any) -> None:
        super().create_state(state_manager)
        module = state_manager.get_resource(self, "module")
        hub.register_module_for_export(module, "module")


def run_fn(fn_args: Any) -> None:
    """Trains on the transformed Examples of ``fn_args``, whose ``base_model`` is the base module.

    ModuleTrainer takes the newest export below ``model_run_dir`` as the tuned module. What serves
    raw tf.Examples goes to ``serving_model_dir``, the last evaluation to ``metrics.json``.

    Raises:
      ConfigError: there is no base module or Transform graph, the task is not classification, there
        is no such text feature, or the label has fewer than two classes in the Transform graph.
    """
    config = FineTuneConfig.from_json(fn_args.custom_config["fine_tune"])
    if not (fn_args.base_model and fn_args.transform_graph_path):
        raise ConfigError("a text column is trained with a base_module and a transform_graph")
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    text = next(iter(config.inputs.values()), "text")
    column = ExportedTextColumn(text, fn_args.base_model, trainable=not config.freeze)

    def rows(files: list[str], *, training: bool) -> Any:
        spec = tf.feature_column.make_parse_example_spec([column])
        spec[text] = tf.io.FixedLenFeature([1], tf.string, "")
        spec[config.label] = tf.io.FixedLenFeature([], tf.int64, -1)

        def parse(serialized: Any) -> tuple[dict[str, Any], Any]:
            features = tf.io.parse_example(serialized, spec)
            return features, features.pop(config.label)

        return dataset.batches(
            tf.io.gfile.glob(files), parse, config, training=training, drop_unknown=True
        )

    def serving() -> Any:
        examples = tf.compat.v1.placeholder(tf.string, [None], "examples")
        raw_spec = transform.raw_feature_spec()
        raw_spec.pop(config.label, None)
        raw = tf.io.parse_example(examples, raw_spec)
        texts = transform.transform_raw_features(raw, drop_unused_features=True)[text]
        if isinstance(texts, tf.SparseTensor):
            texts = tf.sparse.to_dense(tf.sparse.reset_shape(texts, [texts.dense_shape[0], 1]))
        return tf.estimator.export.ServingInputReceiver({text: texts}, {"examples": examples})

    estimator = tf.compat.v1.estimator.DNNClassifier(
        config.hidden,
        [column],
        n_classes=_check(config, transform, text),
        optimizer=lambda: tf.compat.v1.train.AdamOptimizer(config.learning_rate),
        dropout=config.dropout or None,
        config=tf.estimator.RunConfig(
            model_dir=fn_args.model_run_dir,
            tf_random_seed=config.seed,
            save_checkpoints_steps=config.eval_every,
        ),
    )
    metrics, _ = tf.estimator.train_and_evaluate(
        estimator,
        tf.estimator.TrainSpec(lambda: rows(fn_args.train_files, training=True), config.steps),
        tf.estimator.EvalSpec(
            lambda: rows(fn_args.eval_files, training=False),
            config.eval_steps,
            exporters=hub.LatestModuleExporter("tuned", serving),
            start_delay_secs=0,
            throttle_secs=0,
        ),
    )
    serving_model = estimator.export_saved_model(f"{fn_args.model_run_dir}/serving", serving)
    deliver(Path(os.fsdecode(serving_model)), Path(fn_args.serving_model_dir))
    write_metrics(Path(fn_args.model_run_dir), metrics)


def _check(config: FineTuneConfig, transform: tft.TFTransformOutput, text: str) -> int:
    """Raises ConfigError for what cannot be learned; returns the number of classes."""
    if config.task != "classification":
        raise ConfigError(f"this run_fn is for task classification, not {config.task}")
    known = transform.transformed_feature_spec()
    for name in (text, config.label):
        if name not in known:
            raise ConfigError(f"no feature {name!r}; Transform gives {', '.join(sorted(known))}")
    try:
        classes = int(transform.vocabulary_size_by_name(config.label))
    except ValueError:
        classes = 0
    if classes < 2:
        raise ConfigError(
            f"the vocabulary {config.label!r} of the Transform graph has {classes} classes, and a "
            f"classifier needs two: make it in preprocessing_fn (vocab_filename={config.label!r})"
        )
    return classes
