"""The fingerprints by which a run knows what earlier ones have done."""

import pyarrow as pa
import pytest

from hub_tfx import __version__
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.task import make_task
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import minimal_module

COLUMNS = pa.schema([("n", pa.int64()), ("text", pa.string())])


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    path = minimal_module(tmp_path_factory.mktemp("m") / "1")
    return ResolvedModule.of_directory(path, "acme/text/1")


@pytest.mark.skipif(__version__ != "0.1.0", reason="another version resumes nothing of 0.1.0")
@pytest.mark.parametrize(
    ("config", "output_format", "of_the_first_release"),
    [
        (EmbedConfig(keep=("n",)), "parquet", "2dda87f09b8c224b349c9bf10c02858f"),
        (
            EmbedConfig(normalize=True, output_dtype="int8", batch_size=7),
            "tfrecord",
            "6eab59481f07886a35e44f78883dfe12",
        ),
    ],
)
def test_a_job_resumes_what_the_version_before_left(
    module, config, output_format, of_the_first_release
):
    task = make_task(module, config, [], COLUMNS, output_format)
    assert task.job_fingerprint(output_format) == of_the_first_release


def test_vectors_depend_on_what_the_version_before_says_they_do(module):
    task = make_task(module, EmbedConfig(keep=("n",)), [], COLUMNS, "parquet")
    assert task.vectors_fingerprint == {
        "image_size": None,
        "imports": [],
        "normalize": False,
        "output_dtype": "float32",
        "outputs": {},
        "signature": "serving_default",
        "module": module.digest,
        "preprocessor": None,
        "hub_tfx's computation": 1,
    }


def test_what_only_matters_for_speed_is_not_in_the_fingerprint(module):
    jobs = [
        make_task(module, config, [], COLUMNS, "parquet").job_fingerprint("parquet")
        for config in (EmbedConfig(), EmbedConfig(batch_size=7), EmbedConfig(normalize=True))
    ]
    assert jobs[0] == jobs[1] != jobs[2]
