"""A light text module: hub_tfx on Beam against a bare loop, both in one run.

    python -m benchmarks.embed_text [--rows 200000] [--repeat 3]

The bare loop is tf.data, the module and a Parquet writer, with nothing around them: it checks no
row, counts nothing and cannot be resumed or spread over machines. Both read the same gzip TFRecord
of tf.Example, keep one column, write Parquet in the same way, and are timed without module load.
Only the ratio means anything: machines are shared, and it is the same one for both.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from itertools import accumulate
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import tensorflow as tf  # noqa: E402

from hub_tfx.embed.config import EmbedConfig  # noqa: E402
from hub_tfx.embed.job import EmbedModule, embed_files  # noqa: E402
from hub_tfx.module.create import text_embedding_module  # noqa: E402
from hub_tfx.module.load import load  # noqa: E402

_WORDS = 20_000
_DIM = 64
_SCHEMA = pa.schema(
    [("id", pa.large_list(pa.int64())), ("embedding", pa.list_(pa.float32(), _DIM))]
)


def write_corpus(path: Path, rows: int) -> None:
    """Texts of 5 to 40 words, whose frequencies follow Zipf's law, as gzip TFRecord."""
    rng = random.Random(0)
    words = [f"word{n}" for n in range(_WORDS)]
    weights = list(accumulate(1 / (n + 1) for n in range(_WORDS)))
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for n in range(rows):
            text = " ".join(rng.choices(words, cum_weights=weights, k=rng.randint(5, 40)))
            example = tf.train.Example()
            example.features.feature["text"].bytes_list.value.append(text.encode())
            example.features.feature["id"].int64_list.value.append(n)
            writer.write(example.SerializeToString())


def bare_loop(module_path: Path, source: Path, output: Path, batch_size: int) -> float:
    """Seconds of tf.data -> module -> Parquet, the module loaded before."""
    module = load(module_path)
    key = next(iter(module.signature_spec.inputs))
    features = {
        "text": tf.io.FixedLenFeature([], tf.string),
        "id": tf.io.FixedLenFeature([], tf.int64),
    }
    started_s = time.perf_counter()
    dataset = (
        tf.data.TFRecordDataset(str(source), "GZIP", buffer_size=1 << 20)
        .batch(batch_size)
        .map(lambda records: tf.io.parse_example(records, features), tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
    with pq.ParquetWriter(
        output,
        _SCHEMA,
        use_dictionary=["id"],
        write_statistics=["id"],
        compression={"embedding.list.item": "NONE", "id": "SNAPPY"},
    ) as writer:
        pending = []
        for batch in dataset:
            vectors = module({key: batch["text"]})["default"].numpy()
            ids = pa.array(batch["id"].numpy())
            offsets = pa.array(np.arange(len(ids) + 1))
            columns = [
                pa.LargeListArray.from_arrays(offsets, ids),
                pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _DIM),
            ]
            pending.append(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
            if len(pending) * batch_size >= 1 << 16:
                writer.write_table(pa.Table.from_batches(pending))
                pending = []
        if pending:
            writer.write_table(pa.Table.from_batches(pending))
    return time.perf_counter() - started_s


def on_beam(module_path: Path, source: Path, output: Path, batch_size: int) -> float:
    """Seconds of hub_tfx on Beam's runner in this process, as its manifest says them."""
    config = EmbedConfig(keep=("id",), batch_size=batch_size)
    embed_files(EmbedModule.of_directory(module_path), [str(source)], str(output), config)
    seconds: float = json.loads((output / "manifest.json").read_text())["working_s"]
    return seconds


def main() -> None:
    """Prints rows a second of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=EmbedConfig().batch_size)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "corpus.tfrecord.gz"
        write_corpus(source, arguments.rows)
        vectors = np.random.default_rng(0).normal(size=(_WORDS, _DIM)).astype(np.float32)
        words = [f"word{n}" for n in range(_WORDS)]
        print(f"{arguments.rows:,} rows of 5-40 words, {_DIM} dimensions, gzip TFRecord to Parquet")
        print(f"{'format':<12}{'bare loop':>14}{'hub_tfx on Beam':>18}{'ratio':>8}   of each run")
        for module_format in ("tf1_hub", "saved_model"):
            module = text_embedding_module(
                words, vectors, folder / module_format, format=module_format
            )
            loops, beams = [], []
            for n in range(arguments.repeat):
                run = (module.path, source), arguments.batch_size
                loops.append(bare_loop(*run[0], folder / f"{n}.parquet", run[1]))
                beams.append(on_beam(*run[0], folder / f"{module_format}-{n}", run[1]))
            ratios = [loop / beam for loop, beam in zip(loops, beams, strict=True)]
            rates = [arguments.rows / statistics.median(seconds) for seconds in (loops, beams)]
            print(
                f"{module_format:<12}{rates[0]:>9,.0f}/s   {rates[1]:>11,.0f}/s   "
                f"{statistics.median(ratios):>8.2f}   {', '.join(f'{r:.2f}' for r in ratios)}"
            )


if __name__ == "__main__":
    main()
