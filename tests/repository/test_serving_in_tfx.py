"""The variant for serving goes where TFX wants a model: BulkInferrer and Pusher take it."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tfx.v1 as tfx
from tfx_helpers import example, write_tfrecord

from hub_tfx import testing
from hub_tfx.module.load import load
from hub_tfx.repository.variants import child


@pytest.mark.slow
def test_bulk_inferrer_and_pusher_take_a_tf1_module(tmp_path: Path) -> None:
    module = testing.text_module(tmp_path / "module")
    # BulkInferrer finds a SavedModel where TFX's Trainer leaves one.
    child.serving(module, tmp_path / "model" / "Format-Serving")
    row = {"text": "the cat"}
    write_tfrecord(tmp_path / "data" / "rows.gz", [row])
    examples = tfx.components.ImportExampleGen(str(tmp_path / "data"))
    model = tfx.dsl.Importer(
        source_uri=str(tmp_path / "model"), artifact_type=tfx.types.standard_artifacts.Model
    ).with_id("served")
    inferrer = tfx.components.BulkInferrer(
        examples=examples.outputs["examples"],
        model=model.outputs["result"],
        output_example_spec=tfx.proto.OutputExampleSpec(
            output_columns_spec=[
                tfx.proto.OutputColumnsSpec(
                    predict_output=tfx.proto.PredictOutput(
                        output_columns=[
                            tfx.proto.PredictOutputCol(output_key="default", output_column="vector")
                        ]
                    )
                )
            ]
        ),
    )
    pusher = tfx.components.Pusher(
        model=model.outputs["result"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(tmp_path / "pushed"))
        ),
    )
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="serve",
            pipeline_root=str(tmp_path / "root"),
            components=[examples, model, inferrer, pusher],
            metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
                str(tmp_path / "metadata.db")
            ),
            beam_pipeline_args=["--runner=FnApiRunner"],
        )
    )
    written = [str(path) for path in (tmp_path / "root" / "BulkInferrer").rglob("*.gz")]
    (record,) = tf.data.TFRecordDataset(written, "GZIP").as_numpy_iterator()
    vector = tf.train.Example.FromString(record).features.feature["vector"].float_list.value
    # BulkInferrer feeds the serialized Example to the only input, which here takes any text.
    fed = load(module)({"default": [example(row).SerializeToString()]})["default"][0]
    np.testing.assert_allclose(vector, fed, rtol=1e-5)
    (pushed,) = (tmp_path / "pushed").iterdir()
    assert tf.saved_model.load(str(pushed), tags=["serve"]).signatures["serving_default"]
