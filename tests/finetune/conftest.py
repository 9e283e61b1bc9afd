"""Transform with our preprocessing_fn, without a pipeline of TFX."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.coders import ExampleProtoCoder
from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata

from hub_tfx_pipelines.preprocessing import preprocessing_fn

Transform = Callable[..., tuple[Path, Path]]


@pytest.fixture(scope="session")
def transform() -> Transform:
    """See ``run_transform``."""
    return run_transform


def run_transform(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    spec: Mapping[str, Any],
    custom_config: Mapping[str, Any],
) -> tuple[Path, Path]:
    """Makes a Transform graph of rows, and transformed Examples.

    Args:
      folder: where both go.
      rows: raw ones, as ``spec`` parses them.
      spec: raw feature -> how it is parsed.
      custom_config: of our preprocessing_fn.

    Returns:
      The directory of the graph, and the gzipped file of Examples.
    """
    raw = DatasetMetadata.from_feature_spec(spec)
    graph, examples = folder / "graph", folder / "transformed.gz"
    raw_metadata = str(graph / tft.TFTransformOutput.RAW_METADATA_DIR)
    function = partial(preprocessing_fn, custom_config=custom_config)
    with beam.Pipeline("FnApiRunner") as pipeline, tft_beam.Context(str(folder / "temp")):
        given = pipeline | beam.Create(list(rows)), raw
        (made, metadata), transform_fn = given | tft_beam.AnalyzeAndTransformDataset(function)
        transform_fn | tft_beam.WriteTransformFn(str(graph))
        raw | tft_beam.WriteMetadata(raw_metadata, pipeline)
        encode = ExampleProtoCoder(metadata.schema).encode
        (
            made
            | "Encode" >> beam.Map(encode)
            | "Write" >> beam.io.WriteToTFRecord(str(examples), shard_name_template="")
        )
    return graph, examples
