"""The executor of ModulePublisher."""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from hub_tfx._tfx import BaseExecutor, artifact_utils, evaluator_constants
from hub_tfx.artifacts import (
    digest_of,
    read_module,
    read_statistics,
    write_decision,
    write_module,
)
from hub_tfx.components.skipping import decision_of, given, is_skipped, leave_out
from hub_tfx.components.state import LEARNED
from hub_tfx.errors import ConfigError
from hub_tfx.evaluate.facts import blessing_of, metrics_of
from hub_tfx.evaluate.output import read_evaluation
from hub_tfx.evaluate.result import Evaluation
from hub_tfx.module.policy import SafetyPolicy
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.repository.facts import ModuleFacts, Origin, module_facts
from hub_tfx.repository.once import Publication, publish_once
from hub_tfx.repository.succession import finish
from hub_tfx.retrain.decision import Decision
from hub_tfx.store.cache import ModuleCache

_log = logging.getLogger(__name__)


class Executor(BaseExecutor):  # type: ignore[misc]
    """Publishes the module of the input, unless its blessing says no or another run has done so."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Publishes a module.

        Args:
          input_dict:
            - module: one HubModule.
            - blessing: one ModelBlessing, or none.
            - evaluation: one ModuleEvaluation, or none.
            - decision: one RetrainDecision, or none; if that is to learn nothing, no module either.
            - baseline: one HubModule, or none.
          output_dict:
            - published: one HubModule, which is left out where nothing is published, or in use.
            - learned: where there is a decision, one RetrainDecision, which is left out where
              nothing was to be learned, or the decision has to be carried out again.
          exec_properties: repository, name, card (its text), aliases and variants (JSON of a list);
            state_dir, a directory for `learned.json`, or none.

        Raises:
          ConfigError: blessing or evaluation are about another module.
          HubTfxError: see hub_tfx.repository.publish.publish; no artifact is published.
        """
        decision = decision_of(input_dict)
        if decision is not None and decision.learned_by is not None:
            self._finish(decision.learned_by, decision.reasons[0], exec_properties)
            leave_out(output_dict, ["published"], self._context)
        elif is_skipped(decision, output_dict, "ModulePublisher", self._context):
            return
        elif not self._publish(input_dict, output_dict, exec_properties, decision):
            leave_out(output_dict, output_dict.keys() & {"learned"}, self._context)
            return
        if decision is not None:  # Last, since it says that all else is done.
            learned = artifact_utils.get_single_instance(output_dict["learned"])
            decided = artifact_utils.get_single_instance(input_dict["decision"])
            write_decision(learned, decision, read_statistics(decided))
            if state_dir := exec_properties.get("state_dir"):
                LEARNED.write(state_dir, learned.uri)

    def _finish(self, version: str, why: str, exec_properties: dict[str, Any]) -> None:
        """What the run that published the version did not get to, since it was killed."""
        repository, name = exec_properties["repository"], exec_properties["name"]
        finish(repository, name, json.loads(exec_properties["aliases"]), version, why)

    def _publish(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
        decision: Decision | None,
    ) -> bool:
        """Publishes the module if it is blessed; whether that need not be tried again."""
        artifact = artifact_utils.get_single_instance(input_dict["module"])
        name = exec_properties["name"]
        if input_dict.get("blessing") and not _is_blessed(artifact, given(input_dict, "blessing")):
            _log.warning("the module is not blessed, so it is not published as %s", name)
            leave_out(output_dict, ["published"], self._context)
            return True
        module, evaluation = read_module(artifact), _evaluation(given(input_dict, "evaluation"))
        with tempfile.TemporaryDirectory() as folder:
            card = Path(folder, "card.md")
            card.write_text(exec_properties["card"], encoding="utf-8", newline="")
            made = publish_once(
                module,
                exec_properties["repository"],
                name,
                card=card,
                aliases=json.loads(exec_properties["aliases"]),
                variants=json.loads(exec_properties["variants"]),
                facts=_facts(artifact, module, evaluation, decision, self._run_id()),
                baseline=_origin(given(input_dict, "baseline")),
                why=evaluation.reasons[0] if evaluation else "published by a pipeline",
            )
        if made.outcome != "published":
            _log.warning("%s: %s", made.outcome, made.why)
        self._write(made, module, output_dict, exec_properties)
        return made.is_final

    def _write(
        self,
        made: Publication,
        module: ResolvedModule,
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Makes the artifact of the version in use, whoever has published that."""
        if made.version is None or made.handle is None:
            leave_out(output_dict, ["published"], self._context)
            return
        if made.version.digest != module.digest:
            # It was decided on by who published it, and nothing here runs it.
            cache = ModuleCache(policy=SafetyPolicy("off"))
            module = cache.resolve(made.handle, digest=made.version.digest)
        write_module(
            artifact_utils.get_single_instance(output_dict["published"]),
            module.path,
            {
                "handle": made.handle,
                "repository": exec_properties["repository"],
                "name": exec_properties["name"],
                "version": made.version.number,
                "outcome": made.outcome,
                "why": made.why,
            },
        )

    def _run_id(self) -> str | None:
        return self._context.pipeline_run_id if self._context else None


def _is_blessed(module: Any, blessing: Any | None) -> bool:
    """Whether the blessing says yes, and not that nobody has judged the module.

    Raises:
      ConfigError: it is about another module.
    """
    if blessing is None:
        return False
    said = evaluator_constants
    about = blessing.get_string_custom_property(said.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY)
    if about != module.uri:
        raise ConfigError(
            f"the blessing is about {about or 'nothing'}, not about the module {module.uri}: give "
            "that of the ModuleEvaluator that judged this module"
        )
    blessed = blessing.get_int_custom_property(said.ARTIFACT_PROPERTY_BLESSED_KEY)
    return bool(blessed == said.BLESSED_VALUE)


def _origin(module: Any | None) -> Origin | None:
    if module is None:
        return None
    return Origin(digest_of(module), module.get_string_custom_property("handle") or None)


def _evaluation(artifact: Any | None) -> Evaluation | None:
    return None if artifact is None else read_evaluation(artifact.uri)


def _facts(
    artifact: Any,
    module: ResolvedModule,
    evaluation: Evaluation | None,
    decision: Decision | None,
    run: str | None,
) -> ModuleFacts:
    """What ML Metadata and the evaluation say of the module.

    Raises:
      ConfigError: the evaluation is about another module.
    """
    judged = evaluation and evaluation.module
    if judged and judged.digest != module.digest:
        raise ConfigError(
            f"the evaluation is about {judged.handle} (digest {judged.digest}), not about the "
            f"module with digest {module.digest}: give that of this module"
        )

    def stamped(name: str) -> str | None:
        return artifact.get_string_custom_property(name) or None

    parent = stamped("parent_digest")
    return module_facts(
        module,
        parent=None if parent is None else Origin(parent, stamped("parent_handle")),
        metrics=metrics_of(evaluation) if evaluation else (),
        spans=json.loads(stamped("spans") or "[]"),
        learned=None if decision is None else decision.learned,
        run=run,
        code_version=stamped("git_commit"),
        blessing=blessing_of(evaluation) if evaluation else None,
    )
