"""Examples artifacts as the files and columns that jobs read."""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from hub_tfx._tfx import (
    PayloadFormat,
    SchemaReader,
    artifact_utils,
    get_file_format,
    get_payload_format,
    get_split_file_patterns,
)
from hub_tfx.data.files import SourceFile, find_files
from hub_tfx.data.readers import schema_of_tfmd
from hub_tfx.errors import ConfigError


def files_by_split(
    examples: Sequence[Any], component: str, wanted: Collection[str] | None = None
) -> dict[str, list[SourceFile]]:
    """The files of each split, of all artifacts that have it.

    Args:
      examples: Examples artifacts.
      component: name of the component that reads them, for errors.
      wanted: names of splits; None for all.

    Raises:
      ConfigError: their payload cannot be read, or there is no such split.
      InputError: a file is missing.
    """
    for artifact in examples:
        payload, file_format = get_payload_format(artifact), get_file_format(artifact)
        if payload != PayloadFormat.FORMAT_TF_EXAMPLE or not file_format.startswith("tfrecord"):
            raise ConfigError(
                f"the Examples in {artifact.uri} are {PayloadFormat.Name(payload)} in "
                f"{file_format}; {component} reads FORMAT_TF_EXAMPLE in tfrecords_gzip"
            )
    splits = dict.fromkeys(split for artifact in examples for split in artifact.splits)
    for split in wanted or ():
        if split not in splits:
            raise ConfigError(
                f"the Examples have no split {split!r}: name one of {', '.join(splits)}"
            )
    return {
        split: find_files(
            get_split_file_patterns([a for a in examples if split in a.splits], split), "tfrecord"
        )
        for split in splits
        if wanted is None or split in wanted
    }


def columns_of_schema(schemas: Sequence[Any] | None) -> pa.Schema | None:
    """The columns that a Schema artifact names, if there is one."""
    if not schemas:
        return None
    uri = artifact_utils.get_single_uri(schemas)
    return schema_of_tfmd(SchemaReader().read(f"{uri}/schema.pbtxt"))
