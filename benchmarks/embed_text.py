"""A light text module: hub_tfx on Beam against a bare loop and against its peers, in one run.

    python -m benchmarks.embed_text [--rows 200000] [--repeat 3] [--peers]

The bare loop is tf.data, the module and a Parquet writer, with nothing around them: it checks no
row, counts nothing and cannot be resumed or spread over machines. Both read the same file, keep one
column, write Parquet in the same way, and are timed without module load. With `--peers` (extra
`bench`), other ways to run a module on Beam are timed too, whole jobs against whole jobs.
Only ratios mean anything: machines are shared.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.report import print_line, ratio  # noqa: E402
from hub_tfx.embed.config import EmbedConfig  # noqa: E402
from hub_tfx.embed.job import embed_files  # noqa: E402
from hub_tfx.module.create import text_embedding_module  # noqa: E402
from hub_tfx.module.load import load  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402
from hub_tfx.module.spec import ModuleFormat  # noqa: E402

WORDS = 20_000
DIM = 64
_SCHEMA = pa.schema([("id", pa.large_list(pa.int64())), ("embedding", pa.list_(pa.float32(), DIM))])


def write_corpus(path: Path, rows: int) -> None:
    """Texts of 5 to 40 words, whose frequencies follow Zipf's law, as gzip TFRecord."""
    rng = random.Random(0)
    words = [f"word{n}" for n in range(WORDS)]
    weights = list(accumulate(1 / (n + 1) for n in range(WORDS)))
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for n in range(rows):
            text = " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(5, 40)))
            example = tf.train.Example()
            example.features.feature["text"].bytes_list.value.append(text.encode())
            example.features.feature["id"].int64_list.value.append(n)
            writer.write(example.SerializeToString())


def make_module(folder: Path, module_format: ModuleFormat) -> Path:
    """A module that looks the words of the corpus up."""
    vectors = np.random.default_rng(0).normal(size=(WORDS, DIM)).astype(np.float32)
    words = [f"word{n}" for n in range(WORDS)]
    return text_embedding_module(words, vectors, folder, format=module_format).path


def copy_to_parquet(source: Path, output: Path) -> None:
    """The same rows as Parquet; the id is a list, as in tf.Example."""
    texts, ids = zip(*from_tfrecord(source, 1 << 16), strict=True)
    numbers = np.concatenate(ids)
    lists = pa.LargeListArray.from_arrays(np.arange(len(numbers) + 1), pa.array(numbers))
    text = pa.concat_arrays([pa.array(batch.numpy(), pa.string()) for batch in texts])
    pq.write_table(pa.table({"text": text, "id": lists}), output)


def from_tfrecord(source: Path, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Texts and ids of gzip TFRecord, read and parsed by tf.data."""
    features = {
        "text": tf.io.FixedLenFeature([], tf.string),
        "id": tf.io.FixedLenFeature([], tf.int64),
    }
    dataset = (
        tf.data.TFRecordDataset(str(source), "GZIP", buffer_size=1 << 20)
        .batch(batch_size)
        .map(lambda records: tf.io.parse_example(records, features), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    for batch in dataset:
        yield batch["text"], batch["id"].numpy()


def from_parquet(source: Path, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Texts and ids of Parquet."""
    for batch in pq.ParquetFile(source).iter_batches(batch_size):
        yield batch.column(0).to_numpy(False), batch.column(1).flatten().to_numpy()


def bare_loop(module_path: Path, source: Path, output: Path, batch_size: int) -> float:
    """Seconds of tf.data -> module -> Parquet, the module loaded before."""
    module = load(module_path)
    key = next(iter(module.signature_spec.inputs))
    started_s = time.perf_counter()
    batches = from_parquet if source.suffix == ".parquet" else from_tfrecord
    with pq.ParquetWriter(
        output,
        _SCHEMA,
        use_dictionary=["id"],
        write_statistics=["id"],
        compression={"embedding.list.item": "NONE", "id": "SNAPPY"},
    ) as writer:
        pending = []
        for texts, numbers in batches(source, batch_size):
            vectors = module({key: texts})["default"].numpy()
            ids = pa.array(numbers)
            offsets = pa.array(np.arange(len(ids) + 1))
            columns = [
                pa.LargeListArray.from_arrays(offsets, ids),
                pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
            ]
            pending.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
            if len(pending) * batch_size >= 1 << 16:
                writer.write_table(pa.Table.from_batches(pending))
                pending = []
        if pending:
            writer.write_table(pa.Table.from_batches(pending))
    return time.perf_counter() - started_s


def on_beam(module_path: Path, source: Path, output: Path, batch_size: int) -> tuple[float, float]:
    """Seconds of hub_tfx on Beam's runner in this process: of the work, and of the whole job."""
    config = EmbedConfig(keep=("id",), batch_size=batch_size)
    module = ResolvedModule.of_directory(module_path)
    result = embed_files(module, [str(source)], str(output), config)
    return result.rows / result.rows_per_s, result.seconds


def main() -> None:
    """Prints rows a second of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=EmbedConfig().batch_size)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tfrecord, parquet = folder / "corpus.tfrecord.gz", folder / "corpus.parquet"
        write_corpus(tfrecord, arguments.rows)
        copy_to_parquet(tfrecord, parquet)
        print(f"{arguments.rows:,} rows of 5-40 words, {DIM} dimensions, to Parquet")
        formats: tuple[ModuleFormat, ...] = ("tf1_hub", "saved_model")
        for module_format in formats:
            module = make_module(folder / module_format, module_format)
            for source in (tfrecord, parquet):
                print(f"-- {module_format}, from {source.suffixes[0].removeprefix('.')}")
                compare_with_loop(module, source, arguments)
        if arguments.peers:
            print("-- saved_model, from tfrecord: whole jobs, model load and all")
            compare_with_peers(folder / "saved_model", tfrecord, arguments)


def compare_with_loop(module: Path, source: Path, arguments: argparse.Namespace) -> None:
    """Both in turn, `repeat` times."""
    loops, ours = [], []
    for _ in range(arguments.repeat):
        with tempfile.TemporaryDirectory(dir=source.parent) as output:
            out = Path(output, "out")
            loops.append(bare_loop(module, source, Path(f"{out}.parquet"), arguments.batch_size))
            ours.append(on_beam(module, source, out, arguments.batch_size)[0])
    print_line("bare loop", arguments.rows, loops)
    print_line("hub_tfx on Beam", arguments.rows, ours, f"{ratio(loops, ours)} of the loop")


def compare_with_peers(module: Path, source: Path, arguments: argparse.Namespace) -> None:
    """hub_tfx and each peer once: a peer takes long enough for the machine's noise to even out."""
    from benchmarks.peers import TEXT_PEERS

    with tempfile.TemporaryDirectory(dir=source.parent) as output:
        ours = on_beam(module, source, Path(output, "ours"), arguments.batch_size)[1]
        print_line("hub_tfx on Beam", arguments.rows, [ours])
        for name, peer in TEXT_PEERS.items():
            folder = Path(tempfile.mkdtemp(dir=output))
            seconds = peer(module, source, folder)
            print_line(name, arguments.rows, [seconds], f"hub_tfx is {ratio([seconds], [ours])}")


if __name__ == "__main__":
    main()
