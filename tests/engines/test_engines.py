"""The same corpus on every engine: the same rows, the same dead letters, the same counts."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.transform import EmbedRecordBatches
from hub_tfx.errors import IncompleteError, RejectedRowsError
from hub_tfx.module.resolved import ResolvedModule

pytestmark = pytest.mark.engines

FILES, RECORDS = 4, 3000
CONFIG = EmbedConfig(keep=("n",), max_dead_letter_ratio=0.5)


@pytest.fixture(scope="module")
def module(module_dir):
    return ResolvedModule.of_directory(module_dir)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Texts of many lengths; some are null, and the last line of each file is no JSON."""
    folder = tmp_path_factory.mktemp("corpus")
    for file in range(FILES):
        lines = [
            json.dumps({"n": file * RECORDS + n, "text": text_of(n)}) for n in range(RECORDS - 1)
        ]
        (folder / f"{file}.jsonl").write_text("\n".join([*lines, "{no json"]))
    return str(folder / "*.jsonl")


def text_of(n):
    return None if n % 37 == 5 else f"the cat {n} " + "dog " * (n % 40)


def rows_of(folder, order):
    """All rows of a folder's parts."""
    table = pa.concat_tables(pq.read_table(path) for path in Path(folder).glob("*.parquet"))
    return table.sort_by(order)


@pytest.fixture(scope="module")
def in_this_process(module, corpus, tmp_path_factory):
    return embed_files(module, [corpus], str(tmp_path_factory.mktemp("out")), CONFIG)


@pytest.fixture(params=["prism", "pool"])
def engine(request, prism, worker_pool):
    """Beam options: Prism with workers in this process, Prism with those of the pool."""
    if request.param == "pool":
        return worker_pool.options
    return ("--runner=PrismRunner", f"--prism_location={prism}")


def test_identical_rows_dead_letters_and_metrics(tmp_path, module, corpus, engine, in_this_process):
    result = embed_files(module, [corpus], str(tmp_path / "out"), CONFIG, beam_options=engine)
    here = in_this_process
    assert result.rows + result.dead_letters == FILES * RECORDS
    assert rows_of(result.output, "n").equals(rows_of(here.output, "n"))
    letters = [rows_of(Path(r.output, "dead_letters"), "key") for r in (result, here)]
    assert letters[0].equals(letters[1])
    assert len(letters[0]) == result.dead_letters > FILES
    assert result.metrics["rows"] == result.rows
    assert result.metrics["dead_letters"] == result.dead_letters
    assert result.metrics["batch_rows"].sum == here.metrics["batch_rows"].sum


def test_the_worker_has_only_the_wheel(tmp_path, worker_environment):
    program = (
        "import importlib.util as u, hub_tfx; print(hub_tfx.__file__);"
        "assert not any(map(u.find_spec, ['benchmarks', 'demo', 'tfx_helpers', 'pytest']))"
    )
    said = subprocess.run(
        ["python", "-c", program],
        env=worker_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr
    assert "/.venv-worker/" in said.stdout


def test_the_worker_reaches_nothing_but_its_job(worker_pool):
    here, there = (os.readlink(f"/proc/{p}/ns/net") for p in ("self", worker_pool.process_id))
    if here == there:
        pytest.skip("no network namespace may be made here")
    routes = Path(f"/proc/{worker_pool.process_id}/net/route").read_text().splitlines()
    assert len(routes) == 1, "a header, and no route out"


def test_too_many_rejected_rows_are_the_same_error_on_every_engine(
    tmp_path, module, corpus, engine
):
    output, here = tmp_path / "out", tmp_path / "here"
    config = replace(CONFIG, max_dead_letter_ratio=0.01)
    with pytest.raises(RejectedRowsError) as raised:
        embed_files(module, [corpus], str(output), config, beam_options=engine)
    with pytest.raises(RejectedRowsError) as expected:
        embed_files(module, [corpus], str(here), config)
    assert str(raised.value) == str(expected.value).replace(str(here), str(output))
    assert [path.name for path in output.iterdir()] == ["dead_letters"]


def test_a_failed_job_is_one_line_and_the_same_exit_code(tmp_path, module, corpus, worker_pool):
    command = [Path(sys.executable).with_name("hub-tfx"), "embed", "--module", module.path]
    options = ["--input", corpus, "--output", tmp_path / "out", "--max-dead-letter-ratio=0.01"]
    said = subprocess.run(
        [*command, *options, "--", *worker_pool.options], capture_output=True, text=True
    )
    (line,) = said.stderr.splitlines()
    assert "records were rejected" in line
    assert (said.returncode, said.stdout) == (RejectedRowsError.exit_code, "")


class Numbers(tf.Module):
    """Fails on a batch with a text that is no number."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        return tf.stack([tf.strings.to_number(text)] * 2, axis=1)


def test_a_row_that_fails_its_batch_is_rejected_alone(tmp_path, engine):
    tf.saved_model.save(Numbers(), str(tmp_path / "module"))
    texts = [str(n) for n in range(1000)]
    texts[500] = "poison"
    source = tmp_path / "in.txt"
    source.write_text("\n".join(texts))
    module = ResolvedModule.of_directory(tmp_path / "module")
    result = embed_files(module, [str(source)], str(tmp_path / "out"), beam_options=engine)
    assert (result.rows, result.metrics["rows"]) == (999, 999)
    (letter,) = rows_of(tmp_path / "out" / "dead_letters", "key").to_pylist()
    assert letter["key"] == f"{source}:501"
    assert "poison" in letter["reason"]


def test_a_pipeline_of_somebody_else(module_dir, worker_pool):
    rows = [{"id": [n, n + 10], "text": ["cat", None]} for n in range(5)]
    batches = [pa.RecordBatch.from_pydict(columns) for columns in rows]
    # Functions of this file are not to be had in the worker, but lambdas travel.
    with beam.Pipeline(options=PipelineOptions(worker_pool.options)) as pipeline:
        outputs = (
            pipeline
            | beam.Create(batches)
            | EmbedRecordBatches(module_dir, EmbedConfig(keep=("id",)))
        )
        ids = outputs.embeddings | beam.FlatMap(lambda batch: batch.column("id").to_pylist())
        rejected = outputs.dead_letters | "Ids" >> beam.FlatMap(
            lambda b: b.column("id").to_pylist()
        )
        assert_that(ids, equal_to([0, 1, 2, 3, 4]))
        assert_that(rejected, equal_to([10, 11, 12, 13, 14]), label="Rejected")


def test_a_killed_worker_ends_the_job_and_the_next_one_does_the_rest(tmp_path, module, worker_pool):
    first = tmp_path / "0.txt"
    first.write_text("".join(f"the cat sat on mat {n}\n" for n in range(30_000)))
    for number in range(1, 8):
        os.link(first, tmp_path / f"{number}.txt")
    job = (module, [str(tmp_path / "*.txt")], str(tmp_path / "out"))
    killer = threading.Thread(target=kill_worker_half_way, args=(worker_pool, tmp_path / "out"))
    killer.start()
    with pytest.raises(IncompleteError, match="run the job again"):
        embed_files(*job, beam_options=worker_pool.options)
    killer.join()
    assert {path.name[:5] for path in tmp_path.glob("out/*")} == {".tmp-"}
    again = embed_files(*job, beam_options=worker_pool.options)
    assert again.rows == 8 * 30_000
    assert 0 < again.resumed < again.rows


def kill_worker_half_way(pool, output):
    """Kills once two blocks of rows are finished."""
    while any(len(list(output.glob(f".tmp-*/*.{name}.json"))) < 2 for name in ("block", "part")):
        time.sleep(0.01)
    for process_id in pool.worker_ids():
        os.kill(process_id, signal.SIGKILL)
