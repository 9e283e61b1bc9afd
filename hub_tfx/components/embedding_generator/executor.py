"""What EmbeddingGenerator does."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from apache_beam.utils.shared import Shared

from hub_tfx._tfx import (
    BaseBeamExecutor,
    PayloadFormat,
    SchemaReader,
    artifact_utils,
    get_file_format,
    get_payload_format,
    get_split_file_patterns,
    set_payload_format,
)
from hub_tfx.artifacts import read_module, read_number, stamp
from hub_tfx.beam.metrics import read_metrics
from hub_tfx.beam.runner import make_pipeline, raise_own_errors
from hub_tfx.components.embedding_generator.state import read_state, write_state
from hub_tfx.data.files import SourceFile, find_files
from hub_tfx.data.filesystems import local_copy
from hub_tfx.data.readers import READERS, schema_of_tfmd
from hub_tfx.data.schema import infer_schema
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.dead_letters import DEAD_LETTERS, KEY, REASON
from hub_tfx.embed.output.directory import remove_temporary
from hub_tfx.embed.output.layout import OutputLayout, read_manifest
from hub_tfx.embed.pipeline import EmbedFiles
from hub_tfx.embed.reuse.previous import Previous, find_previous
from hub_tfx.embed.task import EmbedTask, make_task
from hub_tfx.errors import ConfigError, RejectedRowsError
from hub_tfx.module.resolved import ResolvedModule

_log = logging.getLogger(__name__)


class Executor(BaseBeamExecutor):  # type: ignore[misc]
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
          output_dict:
            - embeddings: one Examples.
            - dead_letters: one Examples.
          exec_properties:
            - config: the JSON of an EmbedConfig.
            - state_dir: a directory for `latest.json`, or none.

        Raises:
          HubTfxError: see hub_tfx.embed.job.embed_files; no artifact is published.
        """
        config = EmbedConfig.from_json(exec_properties["config"])
        examples = input_dict["examples"]
        module = read_module(artifact_utils.get_single_instance(input_dict["module"]))
        first = input_dict.get("preprocessor")
        preprocessor = read_module(artifact_utils.get_single_instance(first)) if first else None
        embeddings = artifact_utils.get_single_instance(output_dict["embeddings"])
        dead_letters = artifact_utils.get_single_instance(output_dict["dead_letters"])
        files = _files_by_split(examples)
        schema = _columns(input_dict.get("schema"), files)
        layouts = {
            split: OutputLayout.of_split(embeddings.uri, dead_letters.uri, split) for split in files
        }
        tasks = {
            split: make_task(module, config, of_split, schema, "tfrecord", preprocessor)
            for split, of_split in files.items()
        }
        state_dir = exec_properties.get("state_dir")
        previous = _previous(input_dict.get("previous"), state_dir, tasks.values())
        shared = Shared()
        try:
            with (
                _quoting_a_dead_letter(layouts.values()),
                raise_own_errors(),
                self._pipeline() as pipeline,
            ):
                for split, task in tasks.items():
                    _ = pipeline | f"EmbedFiles[{split}]" >> EmbedFiles(
                        task, layouts[split], shared, previous=previous
                    )
        finally:
            for layout in layouts.values():
                remove_temporary(layout)
        _log.info("Beam metrics: %s", read_metrics(pipeline.result))
        manifests = [read_manifest(layout) for layout in layouts.values()]
        _stamp_outputs(
            embeddings, dead_letters, examples, list(files), module, preprocessor, manifests
        )
        if state_dir:
            write_state(state_dir, embeddings.uri)

    def _pipeline(self) -> Any:
        if self._make_beam_pipeline_fn is not None:
            return self._make_beam_pipeline()
        return make_pipeline(self._beam_pipeline_args)


def _previous(
    artifacts: Sequence[Any] | None, state_dir: str | None, tasks: Iterable[EmbedTask]
) -> Previous:
    uri = read_state(state_dir) if state_dir else None
    if artifacts:
        uri = artifact_utils.get_single_uri(artifacts)
    task = next(iter(tasks), None)  # In what vectors depend on, those of all splits are the same.
    return Previous() if uri is None or task is None else find_previous(uri, task.made_with)


def _files_by_split(examples: Sequence[Any]) -> dict[str, list[SourceFile]]:
    for artifact in examples:
        payload, file_format = get_payload_format(artifact), get_file_format(artifact)
        if payload != PayloadFormat.FORMAT_TF_EXAMPLE or not file_format.startswith("tfrecord"):
            raise ConfigError(
                f"the Examples in {artifact.uri} are {PayloadFormat.Name(payload)} in "
                f"{file_format}; EmbeddingGenerator reads FORMAT_TF_EXAMPLE in tfrecords_gzip"
            )
    splits = dict.fromkeys(split for artifact in examples for split in artifact.splits)
    return {
        split: find_files(
            get_split_file_patterns([a for a in examples if split in a.splits], split), "tfrecord"
        )
        for split in splits
    }


def _columns(schemas: Sequence[Any] | None, files: Mapping[str, list[SourceFile]]) -> pa.Schema:
    if not schemas:
        return infer_schema([file for of_split in files.values() for file in of_split])
    uri = artifact_utils.get_single_uri(schemas)
    return schema_of_tfmd(SchemaReader().read(f"{uri}/schema.pbtxt"))


@contextmanager
def _quoting_a_dead_letter(layouts: Iterable[OutputLayout]) -> Iterator[None]:
    """TFX removes what a failed step wrote, so its error has to say why rows were rejected."""
    try:
        yield
    except RejectedRowsError as error:
        for layout in layouts:
            if layout.folders[DEAD_LETTERS] in str(error).split():
                key, reason = _first_dead_letter(layout)
                raise RejectedRowsError(f"{error} (the first is {key}: {reason})") from error
        raise


def _first_dead_letter(layout: OutputLayout) -> tuple[str, str]:
    schema = pa.schema([(name, pa.large_list(pa.large_binary())) for name in (KEY, REASON)])
    with local_copy(layout.parts_there(DEAD_LETTERS)[0]) as path:
        letter: Any = next(READERS["tfrecord"].read(path, schema, 1))
    letter = letter.to_pydict()
    return letter[KEY][0][0].decode(), letter[REASON][0][0].decode()


def _stamp_outputs(
    embeddings: Any,
    dead_letters: Any,
    examples: Sequence[Any],
    splits: list[str],
    module: ResolvedModule,
    preprocessor: ResolvedModule | None,
    manifests: Sequence[Mapping[str, Any]],
) -> None:
    spans = sorted((read_number(a, "span"), read_number(a, "version")) for a in examples)
    span, version = spans[-1]
    for output in (embeddings, dead_letters):
        output.split_names = artifact_utils.encode_split_names(splits)
        output.span, output.version = span, version
        stamp(output, {"span": span, "version": version})
        set_payload_format(output, PayloadFormat.FORMAT_TF_EXAMPLE)
    rejected = sum(manifest["dead_letters"] for manifest in manifests)
    stamp(
        embeddings,
        {
            "handle": module.handle,
            "module_digest": module.digest,
            "signature": manifests[0]["signature"],
            "preprocessor_digest": preprocessor.digest if preprocessor else None,
            "embedding_dim": manifests[0]["embedding_dim"],
            "columns": json.dumps(manifests[0]["columns"]),
            "rows": sum(manifest["rows"] for manifest in manifests),
            "dead_letters": rejected,
            "reused": sum(manifest["reused"] for manifest in manifests),
            "spans": json.dumps(sorted({span for span, _ in spans})),
        },
    )
    stamp(dead_letters, {"rows": rejected})
