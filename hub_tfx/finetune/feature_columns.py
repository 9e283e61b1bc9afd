"""A run_fn with a canned Estimator on a hub.text_embedding_column: copy it and edit.

``ModuleTrainer(run_fn="hub_tfx.finetune.feature_columns.run_fn", …)`` trains a DNNClassifier. Of
the FineTuneConfig it reads what is in ``READ``, and refuses everything else; ``inputs`` may name
one text feature, which is ``text`` otherwise. The classes are the label's vocabulary in the
Transform graph.

Two things to know of hub's feature columns:

- They apply the plain variant of a module: without its losses on weights and its training mode.
- They learn in the Estimators of ``tf.compat.v1.estimator`` only. Those of ``tf.estimator`` train
  what Keras tracks, and leave the module of a trainable column as it was, without a word.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_transform as tft
from tensorflow_hub.feature_column import _TextEmbeddingColumn

from hub_tfx.errors import ConfigError
from hub_tfx.finetune import dataset
from hub_tfx.finetune.collect import CollectedExamples, collect_examples
from hub_tfx.finetune.config import FineTuneConfig
from hub_tfx.finetune.deliver import deliver, write_metrics, write_rows
from hub_tfx.finetune.features import Features
from hub_tfx.finetune.left_out import LEFT_OUT
from hub_tfx.finetune.transformed import label_rule, schema_of
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import import_packages
from hub_tfx.module.process import prepare_process

READ = frozenset(
    {
        *("label", "task", "inputs", "text_encoding", "imports", "max_dead_letter_ratio"),
        *("hidden", "dropout", "freeze", "steps", "batch_size", "learning_rate", "seed"),
        *("eval_every", "eval_steps", "allow_signature_changes", "threads"),
    }
)
"""What is read of a FineTuneConfig."""


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
      ConfigError: there is no base module or Transform graph, the task is not classification, the
        config has what is not read here, there is no such text feature, or the label has fewer than
        two classes in the Transform graph.
      RejectedRowsError: too many rows cannot be learned from.
    """
    config = FineTuneConfig.from_json(fn_args.custom_config["fine_tune"])
    prepare_process(config.threads)
    if not (fn_args.base_model and fn_args.transform_graph_path):
        raise ConfigError("a text column is trained with a base_module and a transform_graph")
    _check_read(config, fn_args.custom_config)
    import_packages(config.imports)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    text = next(iter(config.inputs.values()), "text")
    column = ExportedTextColumn(text, fn_args.base_model, trainable=not config.freeze)

    def rows(path: Path, *, training: bool) -> Any:
        spec = tf.feature_column.make_parse_example_spec([column])
        spec[config.label] = tf.io.FixedLenFeature([], tf.int64)

        def parse(serialized: Any) -> tuple[dict[str, Any], Any]:
            features = tf.io.parse_example(serialized, spec)
            return features, features.pop(config.label)

        return dataset.batches([str(path)], parse, config, training=training)

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
    with tempfile.TemporaryDirectory() as folder:
        collected = _collect(fn_args, config, transform, text, Path(folder))
        metrics, _ = tf.estimator.train_and_evaluate(
            estimator,
            tf.estimator.TrainSpec(
                lambda: rows(collected.paths["train"], training=True), config.steps
            ),
            tf.estimator.EvalSpec(
                lambda: rows(collected.paths["eval"], training=False),
                config.eval_steps,
                exporters=hub.LatestModuleExporter("tuned", serving),
                start_delay_secs=0,
                throttle_secs=0,
            ),
        )
    serving_model = estimator.export_saved_model(f"{fn_args.model_run_dir}/serving", serving)
    deliver(Path(os.fsdecode(serving_model)), Path(fn_args.serving_model_dir))
    write_metrics(Path(fn_args.model_run_dir), metrics)
    write_rows(Path(fn_args.model_run_dir), collected.rows)


def _collect(
    fn_args: Any, config: FineTuneConfig, transform: tft.TFTransformOutput, text: str, folder: Path
) -> CollectedExamples:
    """The rows that can be learned from, in files of a folder."""
    spec = inspect(fn_args.base_model)
    (key,) = spec.signature("default").inputs
    features = Features.of(
        replace(config, inputs={key: text}),
        spec,
        schema_of(transform.transformed_feature_spec()),
    )
    return collect_examples(
        {"train": fn_args.train_files, "eval": fn_args.eval_files},
        features,
        label_rule(config, transform),
        folder,
        Path(fn_args.model_run_dir, LEFT_OUT),
    )


def _check_read(config: FineTuneConfig, custom_config: Mapping[str, Any]) -> None:
    """Raises ConfigError for what is asked for and would be ignored."""
    if config.task != "classification":
        raise ConfigError(f"this run_fn is for task classification, not {config.task}")
    default = FineTuneConfig(config.label)
    unread = [
        field.name
        for field in fields(config)
        if field.name not in READ and getattr(config, field.name) != getattr(default, field.name)
    ]
    if custom_config.get("preprocessor"):
        unread.append("preprocessor")
    if len(config.inputs) > 1:
        unread.append("inputs (more than one)")
    if unread:
        raise ConfigError(
            f"a text column does not heed {', '.join(unread)}: leave it out, or train with the "
            "default run_fn"
        )


def _check(config: FineTuneConfig, transform: tft.TFTransformOutput, text: str) -> int:
    """Raises ConfigError for what cannot be learned; returns the number of classes."""
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
