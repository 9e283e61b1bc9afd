"""A transformer on texts of mixed lengths: rows of like length share a call.

    python -m benchmarks.embed_transformer [--rows 2000] [--repeat 3]

The module pads to the longest row of a batch, as transformers do: 6 layers, width 384, texts of 5
to 128 words. The bare loop batches rows as they come. hub_tfx sorts the rows of a window by length,
and writes them in the order in which they came; that the order is right is checked. How much there
is to gain depends on the lengths, so there are two corpora: in one, short texts are more frequent
than long ones (log-uniform, 38 words on average), as sentences are; in the other, all lengths are
as frequent (67 words). The limit is how many more words, padding included, the loop feeds than all
rows sorted would be.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.report import print_line, ratio  # noqa: E402
from hub_tfx.embed.config import EmbedConfig  # noqa: E402
from hub_tfx.embed.job import embed_files  # noqa: E402
from hub_tfx.module.load import load  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402

_LAYERS, _WIDTH, _HEADS = 6, 384, 6
_WORDS = 5_000
_WORD_COUNTS = (5, 128)


class TextTransformer(tf.Module):
    """Texts to ``[batch, 384]``: words hashed to ids, padded, six encoder layers, their mean."""

    def __init__(self) -> None:
        super().__init__()
        keras = tf.keras.layers
        self.words = keras.Embedding(_WORDS, _WIDTH)
        self.positions = keras.Embedding(_WORD_COUNTS[1], _WIDTH)
        self.blocks = [
            (
                keras.MultiHeadAttention(_HEADS, _WIDTH // _HEADS),
                keras.LayerNormalization(),
                keras.Dense(4 * _WIDTH, activation="gelu"),
                keras.Dense(_WIDTH),
                keras.LayerNormalization(),
            )
            for _ in range(_LAYERS)
        ]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        words = tf.strings.split(texts)
        ids = tf.strings.to_hash_bucket_fast(words, _WORDS).to_tensor()
        mask = tf.sequence_mask(words.row_lengths())
        x = self.words(ids) + self.positions(tf.range(tf.shape(ids)[1]))
        for attention, norm1, wide, narrow, norm2 in self.blocks:
            x = norm1(x + attention(x, x, attention_mask=mask[:, tf.newaxis, :]))
            x = norm2(x + narrow(wide(x)))
        weights = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
        return tf.reduce_sum(x * weights, 1) / tf.reduce_sum(weights, 1)


def log_uniform(rng: random.Random) -> int:
    """A number of words; as many texts have 5 to 10 as have 50 to 100."""
    low, high = _WORD_COUNTS
    return min(high, int(low * ((high + 1) / low) ** rng.random()))


def uniform(rng: random.Random) -> int:
    """A number of words, each as likely as any other."""
    return rng.randint(*_WORD_COUNTS)


def write_texts(path: Path, rows: int, word_count: Callable[[random.Random], int]) -> list[int]:
    """Texts in Parquet; returns how many words they have."""
    rng = random.Random(0)
    counts = [word_count(rng) for _ in range(rows)]
    texts = [" ".join(f"w{rng.randrange(_WORDS)}" for _ in range(count)) for count in counts]
    pq.write_table(pa.table({"id": range(rows), "text": texts}), path)
    return counts


def padded(word_counts: Sequence[int], batch_size: int) -> int:
    """Words that the module gets with each text as long as the longest of its batch."""
    batches = [word_counts[n : n + batch_size] for n in range(0, len(word_counts), batch_size)]
    return sum(max(batch) * len(batch) for batch in batches)


def bare_loop(module_path: Path, source: Path, output: Path, batch_size: int) -> float:
    """Seconds of reading, the module and a Parquet writer, a batch as it comes."""
    module = load(module_path)
    key = next(iter(module.signature_spec.inputs))
    started_s = time.perf_counter()
    writer = None
    for batch in pq.ParquetFile(source).iter_batches(batch_size):
        vectors = next(iter(module({key: batch.column(1).to_numpy(False)}).values())).numpy()
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _WIDTH)
        table = pa.table({"id": batch.column(0), "embedding": column})
        writer = writer or pq.ParquetWriter(output, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return time.perf_counter() - started_s


def main() -> None:
    """Prints rows a second of both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tf.saved_model.save(TextTransformer(), str(folder / "module"))
        print(f"{arguments.rows:,} texts of 5-128 words, calls of {arguments.batch_size} rows")
        for word_count in (log_uniform, uniform):
            (folder / word_count.__name__).mkdir()
            compare(folder / "module", folder / word_count.__name__, word_count, arguments)


def compare(
    module_path: Path,
    folder: Path,
    word_count: Callable[[random.Random], int],
    arguments: argparse.Namespace,
) -> None:
    """Both in turn on texts with such lengths, `repeat` times."""
    module, source = ResolvedModule.of_directory(module_path), folder / "texts.parquet"
    counts = write_texts(source, arguments.rows, word_count)
    config = EmbedConfig(keep=("id",), batch_size=arguments.batch_size)
    loops, ours = [], []
    for n in range(arguments.repeat):
        plain, output = folder / f"{n}.parquet", folder / f"out-{n}"
        loops.append(bare_loop(module_path, source, plain, arguments.batch_size))
        result = embed_files(module, [str(source)], str(output), config)
        ours.append(result.rows / result.rows_per_s)
        check_same(plain, output)
    limit = padded(counts, config.batch_size) / padded(sorted(counts), config.batch_size)
    print(f"-- {word_count.__name__} lengths; limit {limit:.2f}")
    print_line("bare loop, rows as they come", arguments.rows, loops)
    print_line("hub_tfx on Beam", arguments.rows, ours, ratio(loops, ours))


def check_same(plain: Path, output: Path) -> None:
    """Raises where a row is not where the bare loop has it, or has another vector."""
    tables = [pq.read_table(plain), pq.read_table(sorted(output.glob("*.parquet")))]
    assert tables[0]["id"].equals(tables[1]["id"])
    vectors = [np.stack(table["embedding"].to_numpy()) for table in tables]
    np.testing.assert_allclose(*vectors, atol=1e-4)


if __name__ == "__main__":
    main()
