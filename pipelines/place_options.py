"""The options that say where a run on this machine keeps its artifacts and ML Metadata."""

from pathlib import Path
from typing import Any

import click

from hub_tfx.cli.metadata_options import connection_of, metadata_option, metadata_password_option
from hub_tfx.cli.options import add_options
from hub_tfx.errors import OutputError, UsageError
from hub_tfx_pipelines.config_file.document import Document
from hub_tfx_pipelines.config_options import origin_of, put_given

_ROOT = "output_root"
_KEEP_METADATA = "Keep ML Metadata there.  [metadata.sqlite in --output-root]"
_METADATA = ("metadata", "metadata_path")
"""Keys of a config that say where ML Metadata is; a config has one of them."""


def place_options(command: Any) -> Any:
    """Adds the options; see ``put_places``."""
    return add_options(
        command,
        click.option(
            "--output-root",
            metavar="DIR",
            help="Keep artifacts and ML Metadata in this folder, which later runs share.  "
            "[required here, or as pipeline_root in --config]",
        ),
        metadata_option(_KEEP_METADATA, required=False),
        metadata_password_option,
    )


def put_places(document: Document, options: dict[str, Any]) -> None:
    """Puts what ``place_options`` parsed, which is taken out of the options, over a document.

    ML Metadata that a file names stays where it is when only the artifacts go elsewhere.

    Raises:
      UsageError: there is a password for no database.
      ConfigError: --metadata cannot be read.
      OutputError: the folder is not on this machine.
    """
    root = options.pop("output_root")
    metadata, password_env = (options.pop(f"metadata{n}") for n in ("", "_password_env"))
    if metadata is None and password_env is not None:
        raise UsageError("--metadata-password-env is for --metadata: give both")
    if root is not None:
        put_given(document, {"pipeline_root": _artifacts(root)}, names={"pipeline_root": _ROOT})
        if metadata is None and not any(document.get((key,)) for key in _METADATA):
            document.put(("metadata",), str(Path(root, "metadata.sqlite")), origin_of(_ROOT))
    if metadata is not None:
        if document.get(("metadata_path",)):
            document.put(("metadata_path",), None, origin_of("metadata"))
        connection = connection_of(metadata, password_env)
        document.put(("metadata",), str(connection), origin_of("metadata"))


def check_place(config: Any) -> None:
    """Raises UsageError where nothing says where ML Metadata is, before TFX is imported."""
    if config.connection is None:
        raise UsageError(
            "where ML Metadata is kept is missing: give --output-root or --metadata, or metadata "
            "in the file of --config"
        )


def _artifacts(root: str) -> str:
    if "://" in root:
        raise OutputError(
            f"--output-root {root} is not on this machine, where the steps run: name a "
            "folder, or compile the pipeline for a platform (hub-tfx compile)"
        )
    return str(Path(root, "artifacts"))
