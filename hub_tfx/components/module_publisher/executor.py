"""The executor of ModulePublisher."""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hub_tfx._tfx import BaseExecutor, artifact_utils, evaluator_constants
from hub_tfx.artifacts import read_module, write_module
from hub_tfx.errors import DigestMismatchError
from hub_tfx.repository.publish import publish

_log = logging.getLogger(__name__)
_BLESSED = evaluator_constants.ARTIFACT_PROPERTY_BLESSED_KEY


class Executor(BaseExecutor):  # type: ignore[misc]
    """Publishes the module of the input, unless its blessing says no."""

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
          output_dict:
            - published: one HubModule, which is taken out where nothing is published.
          exec_properties: repository, name, card (its text), aliases (JSON of a list).

        Raises:
          HubTfxError: see hub_tfx.repository.publish.publish; no artifact is published.
        """
        artifact = artifact_utils.get_single_instance(input_dict["module"])
        if not _is_blessed(artifact, input_dict.get("blessing")):
            _log.warning(
                "%s was not blessed, so it is not published", exec_properties["name"]
            )
            output_dict["published"].clear()
            return
        module = read_module(artifact)
        with tempfile.TemporaryDirectory() as folder:
            card = Path(folder, "README.md")
            card.write_text(exec_properties["card"], encoding="utf-8", newline="")
            published = publish(
                module,
                exec_properties["repository"],
                exec_properties["name"],
                card=card,
                aliases=json.loads(exec_properties["aliases"]),
                facts=_facts(artifact, input_dict.get("evaluation")),
            )
        write_module(
            artifact_utils.get_single_instance(output_dict["published"]),
            module.path,
            {
                "handle": published.handle,
                "name": published.name,
                "version": published.version,
                "parent_digest": None,
            },
        )
