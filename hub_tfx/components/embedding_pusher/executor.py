"""The executor of EmbeddingPusher."""

import logging
from typing import Any

from hub_tfx._tfx import BaseExecutor, artifact_utils
from hub_tfx.artifacts import write_pushed
from hub_tfx.embed.output.push import push_generation

_log = logging.getLogger(__name__)


class Executor(BaseExecutor):  # type: ignore[misc]
    """Pushes the embeddings of the input."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Pushes embeddings.

        Args:
          input_dict:
            - embeddings: one Examples.
            - before: one PushedEmbeddings, which is not read, or none.
          output_dict:
            - pushed: one PushedEmbeddings.
          exec_properties:
            - root: the place.
            - keep: how many generations stay.

        Raises:
          HubTfxError: see hub_tfx.embed.output.push.push_generation; nothing is pushed.
        """
        embeddings = artifact_utils.get_single_instance(input_dict["embeddings"])
        root = exec_properties["root"]
        pushed = push_generation(
            root,
            embeddings.uri,
            keep=exec_properties["keep"],
            run=self._context.pipeline_run_id if self._context else None,
            splits=artifact_utils.decode_split_names(embeddings.split_names),
        )
        done = "is" if pushed.created else "was already"
        _log.info("generation %d %s the latest of %s", pushed.generation.number, done, root)
        write_pushed(artifact_utils.get_single_instance(output_dict["pushed"]), root, pushed)
