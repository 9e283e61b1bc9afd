"""Rows are embedded while others are written, yet stay where they were in time."""

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from hub_tfx.beam.runner import beam_arguments
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.testing import text_module

TEXTS = {5: "cat", 61: "dog", 62: None, 130: "mat"}


def in_time(batch, timestamp=beam.DoFn.TimestampParam, window=beam.DoFn.WindowParam):
    return batch.to_pydict()["n"][0], int(timestamp), int(window.start)


def test_results_keep_the_time_and_the_window_of_their_batch(tmp_path):
    module = text_module(tmp_path / "module")
    batches = [
        TimestampedValue(
            pa.RecordBatch.from_pydict({"text": pa.array([text], pa.string()), "n": [n]}), n
        )
        for n, text in TEXTS.items()
    ]
    with beam.Pipeline(options=PipelineOptions(beam_arguments([]))) as pipeline:
        outputs = (
            pipeline
            | beam.Create(batches)
            | beam.Map(lambda value: value)
            | beam.WindowInto(FixedWindows(60))
            | EmbedRecordBatches(module, EmbedConfig(keep=("n",)))
        )
        embedded = outputs.embeddings | "Embedded" >> beam.Map(in_time)
        rejected = outputs.dead_letters | "Rejected" >> beam.Map(in_time)
        assert_that(embedded, equal_to([(5, 5, 0), (61, 61, 60), (130, 130, 120)]), "embedded")
        assert_that(rejected, equal_to([(62, 62, 60)]), "rejected")
