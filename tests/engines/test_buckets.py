"""Jobs in a bucket, as on any cloud: workers find the module there, and nothing temporary stays."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from part_names import untagged

from hub_tfx.beam import staging
from hub_tfx.data.filesystems import copy_directory, read_bytes, write_bytes
from hub_tfx.embed import job
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.errors import ConfigError, RejectedRowsError
from hub_tfx.module.resolved import ResolvedModule

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def module(module_dir):
    return ResolvedModule.of_directory(module_dir)


@pytest.fixture(scope="module")
def corpus(bucket):
    write_bytes("gs://acme/corpus/0.csv", b"n,text\n1,the cat\n2,the dog\n3,\xff\n")
    return "gs://acme/corpus/*.csv"


def names_below(folder):
    """All files of a folder in the bucket, without the tags of parts."""
    found = FileSystems.match([f"{folder}/**"])[0].metadata_list
    return untagged(file.path.removeprefix(f"{folder}/") for file in found)


def table_of(output):
    (part,) = json.loads(read_bytes(f"{output}/manifest.json"))["files"]
    return pq.read_table(pa.BufferReader(read_bytes(f"{output}/{part['name']}")))


def test_workers_elsewhere_find_a_module_of_this_machine(monkeypatch, module, corpus, worker_pool):
    told = []

    def stage_module(*given):
        told.append(staging.stage_module(*given))
        return told[-1]

    monkeypatch.setattr(job, "stage_module", stage_module)
    output = "gs://acme/elsewhere"
    config = EmbedConfig(keep=("n",))
    result = embed_files(module, [corpus], output, config, beam_options=worker_pool.options)
    assert (result.rows, result.dead_letters) == (2, 1)
    assert table_of(output)["n"].to_pylist() == [1, 2]
    (staged,) = told
    assert staged.worker_path.startswith(f"{output}/.tmp-")
    assert names_below(output) == [
        "dead_letters/dead_letters-00000-of-00001.parquet",
        "digests/digests-00000-of-00001.bin",
        "embeddings-00000-of-00001.parquet",
        "manifest.json",
    ]


def test_a_module_in_a_bucket_stays_where_it_is(module, module_dir, corpus):
    copy_directory(module_dir, "gs://acme/module/1")
    remote = replace(module, remote_path="gs://acme/module/1")
    here = embed_files(module, [corpus], "gs://acme/here", EmbedConfig(keep=("n",)))
    there = embed_files(remote, [corpus], "gs://acme/there", EmbedConfig(keep=("n",)))
    assert table_of(there.output).equals(table_of(here.output))
    assert staging.stage_module(remote, "gs://acme/copy") is remote
    assert names_below("gs://acme/copy") == []


def test_a_failed_job_leaves_its_dead_letters_and_nothing_else(module, corpus):
    output = "gs://acme/failed"
    with pytest.raises(RejectedRowsError):
        embed_files(module, [corpus], output, EmbedConfig(max_dead_letter_ratio=0))
    assert names_below(output) == ["dead_letters/dead_letters-00000-of-00001.parquet"]


@pytest.mark.parametrize("local", ["input", "output"])
def test_dataflow_is_not_given_files_of_this_machine(tmp_path, module, corpus, local):
    (tmp_path / "in.csv").write_text("text\ncat\n")
    source = str(tmp_path / "in.csv") if local == "input" else corpus
    output = str(tmp_path / "out") if local == "output" else "gs://acme/out"
    with pytest.raises(ConfigError, match=f"Dataflow cannot reach {tmp_path}"):
        embed_files(module, [source], output, beam_options=["--runner=DataflowRunner"])
    assert not (tmp_path / "out").exists()
