"""The executor of ModuleEvaluator."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.io.filesystems import FileSystems

from hub_tfx._tfx import artifact_utils, evaluator_constants
from hub_tfx.artifacts import read_module, stamp
from hub_tfx.components.beam_step import BeamStep
from hub_tfx.components.examples import columns_of_schema, files_by_split
from hub_tfx.components.skipping import connected, decision_of, given, is_skipped
from hub_tfx.data.filesystems import make_folder, write_bytes
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.evaluate.config import EvaluateConfig
from hub_tfx.evaluate.job import evaluate_rows
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.evaluate.tasks import BASELINE, CANDIDATE, Subject


class Executor(BeamStep):
    """Embeds the splits with both modules in one Beam pipeline, and judges the candidate."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Evaluates a module.

        Args:
          input_dict:
            - examples: one or more Examples.
            - module: one HubModule.
            - baseline, preprocessor: one HubModule each, or none.
            - schema: one Schema, or none.
            - decision: one RetrainDecision, or none; if that is to learn nothing, no module either.
          output_dict:
            - evaluation: one ModuleEvaluation.
            - blessing: one ModelBlessing.
            Both are taken out where nothing was to be learned.
          exec_properties:
            - config: the JSON of an EvaluateConfig.
            - feeding: the JSON of an EmbedConfig.
            - baseline_feeding: the same of the baseline, or none.
            - splits: a JSON list of names.

        Raises:
          HubTfxError: see hub_tfx.evaluate.job.evaluate_files; no artifact is published.
        """
        if is_skipped(decision_of(input_dict), output_dict, "ModuleEvaluator", self._context):
            return
        splits = files_by_split(
            input_dict["examples"], "ModuleEvaluator", json.loads(exec_properties["splits"])
        )
        files = [file for of_split in splits.values() for file in of_split]
        columns = columns_of_schema(input_dict.get("schema"))
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        result = evaluate_rows(
            _subjects(input_dict, exec_properties),
            files,
            infer_schema(files) if columns is None else columns,
            evaluation.uri,
            EvaluateConfig.from_json(exec_properties["config"]),
            self._pipeline,
        )
        stamp(evaluation, _properties(result))
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        _bless(blessing, result, input_dict["module"][0], given(input_dict, "baseline"))


def _subjects(
    input_dict: Mapping[str, Sequence[Any]], exec_properties: Mapping[str, Any]
) -> dict[str, Subject]:
    """The candidate, and the baseline if there is one, with what feeds them."""
    artifacts = {
        "module": connected(input_dict, "module"),
        "baseline": given(input_dict, "baseline"),
        "preprocessor": connected(input_dict, "preprocessor"),
    }
    feeding = EmbedConfig.from_json(exec_properties["feeding"])
    own = exec_properties.get("baseline_feeding")
    other = EmbedConfig.from_json(own) if own else feeding
    imports = (*feeding.imports, *other.imports)
    modules = {key: read_module(a, imports) for key, a in artifacts.items() if a is not None}
    preprocessor = modules.get("preprocessor")
    subjects = {CANDIDATE: Subject(modules["module"], feeding, preprocessor)}
    if "baseline" in modules:
        subjects[BASELINE] = Subject(modules["baseline"], other, preprocessor)
    return subjects


def _properties(evaluation: Evaluation) -> dict[str, str | int | None]:
    """What ML Metadata says of an evaluation."""
    primary, module, baseline = evaluation.primary_measure, evaluation.module, evaluation.baseline
    numbers = {
        name: None if primary is None else getattr(primary, name)
        for name in ("value", "baseline", "difference")
    }
    return {
        "verdict": evaluation.verdict,
        "reason": evaluation.reasons[0],
        "primary": evaluation.primary,
        "value": _text(numbers["value"]),
        "baseline_value": _text(numbers["baseline"]),
        "difference": _text(numbers["difference"]),
        "rows": evaluation.rows.sampled,
        "module_digest": module.digest if module else None,
        "module_handle": module.handle if module else None,
        "baseline_digest": baseline.digest if baseline else None,
        "baseline_handle": baseline.handle if baseline else None,
    }


def _text(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _bless(blessing: Any, result: Evaluation, module: Any, baseline: Any | None) -> None:
    """Writes what TFX's Evaluator writes; see tfx/components/evaluator/executor.py."""
    said, is_blessed = evaluator_constants, result.is_blessed
    name = said.BLESSED_FILE_NAME if is_blessed else said.NOT_BLESSED_FILE_NAME
    make_folder(blessing.uri)
    write_bytes(str(FileSystems.join(blessing.uri, name)), b"")
    stamp(
        blessing,
        {
            said.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY: module.uri,
            said.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY: module.id,
            said.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY: baseline and baseline.uri,
            said.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY: baseline and baseline.id,
            said.ARTIFACT_PROPERTY_BLESSING_MESSAGE_KEY: result.reasons[0],
            said.ARTIFACT_PROPERTY_BLESSED_KEY: (
                said.BLESSED_VALUE if is_blessed else said.NOT_BLESSED_VALUE
            ),
        },
    )
