"""Each pipeline by a config file, run on an engine that the file names, and what it has made."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from cards import CARD
from judged import WORDS, labelled_rows, write_csv
from tfx_helpers import read_examples, write_tfrecord

from hub_tfx._tfx import BeamExecutorSpec, artifact_utils
from hub_tfx.cli.main import run_command
from hub_tfx.lineage.store import open_sqlite, properties_of
from hub_tfx.module.create import text_embedding_module
from hub_tfx_pipelines import embed_pipeline, finetune_pipeline, metadata, retrain_pipeline
from hub_tfx_pipelines.cli import run as run_group
from hub_tfx_pipelines.config_file.build import build
from hub_tfx_pipelines.config_file.document import read_document
from hub_tfx_pipelines.config_file.registry import config_class

ROWS = 150
CONFIGS = {
    "embed": """
pipeline: embed
data_root: {inputs}/tfrecord
module: {inputs}/base
embed: {{keep: [text]}}
""",
    "fine-tune": """
pipeline: fine-tune
data_root: {inputs}/csv
example_gen: csv
module: {inputs}/base
fine_tune: {{label: topic, steps: 2, batch_size: 8, freeze: true}}
gate: {{splits: [train, eval], config: {{label: topic, replicates: 200, folds: 2}}}}
publication: {{repository: modules, name: acme/words, card: "{inputs}/card.md"}}
eval_config: "{inputs}/judge.json"
""",
    "retrain": """
pipeline: retrain
data_root: {inputs}/tfrecord
module: {inputs}/base
fine_tune: {{label: topic, steps: 1, batch_size: 8}}
run_fn: whole_runs.learn
gate: {{splits: [train, eval], config: {{label: topic, replicates: 200, folds: 3}}}}
publication: {{repository: modules, name: acme/words, card: "{inputs}/card.md"}}
retrain: {{min_new_rows: 1}}
""",
}
BEAM_STEPS = {
    "embed": {"ImportExampleGen", "EmbeddingGenerator"},
    "fine-tune": {"CsvExampleGen", "StatisticsGen", "Transform", "ModuleEvaluator", "Evaluator"},
    "retrain": {
        *("WindowExampleGen", "StatisticsGen", "Transform", "ModuleEvaluator"),
        "EmbeddingGenerator",
    },
}
_PIPELINES = {
    "embed": embed_pipeline,
    "fine-tune": finetune_pipeline,
    "retrain": retrain_pipeline,
}
_LEARNED = "TEST_LEARNED"
_JUDGE = """
{
  "modelSpecs": [{"signatureName": "serving_default", "labelKey": "topic"}],
  "slicingSpecs": [{}],
  "metricsSpecs": [{"metrics": [{"className": "ExampleCount",
    "threshold": {"valueThreshold": {"lowerBound": 1}}}]}]
}
"""


def learn(fn_args: Any) -> None:
    """A ``run_fn`` that learns what was known before, for the module is not what is tested."""
    tuned = Path(fn_args.custom_config["module_dir"])
    shutil.copytree(os.environ[_LEARNED], tuned)
    shutil.copytree(tuned, fn_args.serving_model_dir)


def write_inputs(folder: Path) -> None:
    """Rows, a module to start from, and a better one that ``learn`` finds."""
    rows = [{name: row[name] for name in ("text", "topic")} for row in labelled_rows(ROWS)]
    write_tfrecord(folder / "tfrecord" / "rows.gz", rows)
    (folder / "csv").mkdir()
    write_csv(folder / "csv" / "rows.csv", rows)
    (folder / "card.md").write_text(CARD)
    (folder / "judge.json").write_text(_JUDGE)
    for name, told in (("base", 0.0), ("better", 0.7)):
        vectors = [[(word % 2) * told, word // 2, -word // 2] for word in range(len(WORDS))]
        text_embedding_module(WORDS, vectors, folder / name)
    os.environ[_LEARNED] = str(folder / "better")


def config_file(name: str, inputs: Path, beam_pipeline_args: Sequence[str], folder: Path) -> str:
    """Writes the config file of a pipeline, which ends in Beam's options; its path."""
    lines = [f"  - {option}\n" for option in beam_pipeline_args]
    listed = f"beam_pipeline_args:\n{''.join(lines)}" if lines else ""
    path = folder / "config.yaml"
    path.write_text(CONFIGS[name].format(inputs=inputs) + listed)
    return str(path)


def create_pipeline(
    name: str, inputs: Path, beam_pipeline_args: Sequence[str], folder: Path
) -> Any:
    """The pipeline of such a file, as TFX has it."""
    path = config_file(name, inputs, beam_pipeline_args, folder)
    document = read_document(path, (f"pipeline_root={folder}",), name)
    return _PIPELINES[name].create_pipeline(build(document, config_class(name)))


def run_pipeline(name: str, inputs: Path, beam_pipeline_args: Sequence[str]) -> dict[str, Any]:
    """Runs a pipeline in the current folder; what its steps have made."""
    config_file(name, inputs, beam_pipeline_args, Path())
    arguments = [name, "--config", "config.yaml", "--output-root", "run"]
    assert run_command(run_group, arguments, "hub-tfx run") == 0
    return made_by(name)


def made_by(name: str) -> dict[str, Any]:
    """(Step, output) -> what is in it, as far as it does not depend on where and when it ran."""
    store = open_sqlite("run/metadata.sqlite")
    found = {}
    for execution in metadata.latest_run(store, name.replace("-", "")):
        step = execution.type.rpartition(".")[2]
        for output, artifact in metadata.outputs(store, execution).items():
            found[step, output] = _content(artifact)
    return {of: content for of, content in found.items() if content is not None}


def beam_steps(pipeline: Any) -> dict[str, Any]:
    """Name -> component, of those that run Beam."""
    return {
        component.id: component
        for component in pipeline.components
        if isinstance(component.executor_spec, BeamExecutorSpec)
    }


def _content(artifact: Any) -> Any:
    properties, uri = properties_of(artifact), artifact.uri
    if artifact.type == "Examples":
        splits = artifact_utils.decode_split_names(properties["split_names"])
        return {split: sorted(map(_row, read_examples(uri, split))) for split in splits}
    if artifact.type == "ExampleStatistics":
        return {str(path.parent.name): _statistics(path) for path in Path(uri).rglob("*.pb")}
    if artifact.type == "TransformGraph":
        return {path.name: path.read_text() for path in Path(uri).rglob("assets/*")}
    if artifact.type == "ModelEvaluation":
        return tfma.load_eval_result(uri).slicing_metrics
    if artifact.type == "ModelBlessing":
        return properties["blessed"]
    named = ("verdict", "value", "baseline_value", "rows", "name", "version", "digest")
    return {name: properties[name] for name in named if name in properties} or None


def _row(row: dict[str, Any]) -> str:
    return repr(sorted(row.items()))  # A tf.Example has no order of its own.


def _statistics(path: Path) -> dict[str, Any]:
    (dataset,) = tfdv.load_stats_binary(str(path)).datasets
    rows = {"": dataset.num_examples}
    for feature in dataset.features:
        common = (feature.string_stats or feature.num_stats).common_stats
        unique = feature.string_stats.unique
        rows[feature.path.step[0]] = (common.num_non_missing, common.tot_num_values, unique)
    return rows
