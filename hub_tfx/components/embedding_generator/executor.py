"""The executor of EmbeddingGenerator."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from hub_tfx._tfx import (
    PayloadFormat,
    artifact_utils,
    set_payload_format,
)
from hub_tfx.artifacts import read_module, read_number, stamp
from hub_tfx.components.beam_step import BeamStep
from hub_tfx.components.examples import columns_of_schema, files_by_split
from hub_tfx.components.skipping import connected, given
from hub_tfx.components.spans import spans_of
from hub_tfx.components.state import EMBEDDINGS
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import SplitsResult, embed_splits

_log = logging.getLogger(__name__)


class Executor(BeamStep):
    """Embeds every split of every input artifact in one Beam pipeline."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Embeds Examples.

        Args:
          input_dict:
            - examples: one or more Examples.
            - module: one HubModule.
            - preprocessor: one HubModule, or none.
            - schema: one Schema, or none.
            - previous: one Examples of an earlier run, or none.
            - published: one HubModule, which embeds instead of module, or none.
          output_dict:
            - embeddings: one Examples.
            - dead_letters: one Examples.
          exec_properties:
            - config: the JSON of an EmbedConfig.
            - state_dir: a directory for `latest.json`, or none.

        Raises:
          HubTfxError: see hub_tfx.embed.job.embed_files; no artifact is published.
        """
        examples = input_dict["examples"]
        published, first = given(input_dict, "published"), connected(input_dict, "preprocessor")
        in_use = artifact_utils.get_single_instance(input_dict["module"])
        config = EmbedConfig.from_json(exec_properties["config"])
        module = read_module(in_use if published is None else published, config.imports)
        preprocessor = None if first is None else read_module(first, config.imports)
        embeddings = artifact_utils.get_single_instance(output_dict["embeddings"])
        dead_letters = artifact_utils.get_single_instance(output_dict["dead_letters"])
        state_dir = exec_properties.get("state_dir")
        result = embed_splits(
            module,
            files_by_split(examples, "EmbeddingGenerator"),
            embeddings.uri,
            dead_letters.uri,
            config,
            self._pipeline,
            columns_of_schema(input_dict.get("schema")),
            preprocessor,
            previous=_previous(input_dict.get("previous"), state_dir),
        )
        _log.info("Beam metrics: %s", result.metrics)
        _stamp_outputs(embeddings, dead_letters, examples, result)
        if state_dir:
            EMBEDDINGS.write(state_dir, embeddings.uri)


def _previous(artifacts: Sequence[Any] | None, state_dir: str | None) -> str | None:
    """URI of the embeddings from which rows are copied, if there are any."""
    if artifacts:
        return str(artifact_utils.get_single_uri(artifacts))
    return EMBEDDINGS.read(state_dir) if state_dir else None


def _stamp_outputs(
    embeddings: Any, dead_letters: Any, examples: Sequence[Any], result: SplitsResult
) -> None:
    span, version = max((read_number(a, "span"), read_number(a, "version")) for a in examples)
    spans = sorted({of.number for artifact in examples for of in spans_of(artifact)})
    for output in (embeddings, dead_letters):
        output.split_names = artifact_utils.encode_split_names(list(result.manifests))
        output.span, output.version = span, version
        stamp(output, {"span": span, "version": version})
        set_payload_format(output, PayloadFormat.FORMAT_TF_EXAMPLE)
    manifest = next(iter(result.manifests.values()))  # The splits have this in common.
    preprocessor = manifest.preprocessor
    stamp(
        embeddings,
        {
            "handle": manifest.module.handle,
            "module_digest": manifest.module.digest,
            "signature": manifest.signature,
            "preprocessor_digest": preprocessor.digest if preprocessor else None,
            "embedding_dim": manifest.embedding_dim,
            "columns": json.dumps(manifest.columns_dict()),
            "rows": result.total("rows"),
            "dead_letters": result.total("dead_letters"),
            "reused": result.total("reused"),
            "spans": json.dumps(spans),
        },
    )
    stamp(dead_letters, {"rows": result.total("dead_letters")})
