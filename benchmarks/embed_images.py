"""A heavy image module: hub_tfx on Beam against a bare loop and against its peers, in one run.

    python -m benchmarks.embed_images [--rows 1500] [--repeat 3] [--peers]

A graph of MobileNetV2's size at 224 with random weights; JPEG of mixed sizes in gzip TFRecord. The
bare loop is tf.data, which decodes and resizes in parallel and one batch ahead, the module and a
Parquet writer. With `--peers` (extra `bench`) whole jobs are compared with whole jobs. Only ratios
mean anything: machines are shared.
"""

import argparse
import tempfile
import time
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import tensorflow as tf  # noqa: E402

from benchmarks.models import IMAGE_SIZE, image_module, write_images  # noqa: E402
from benchmarks.report import print_line, ratio  # noqa: E402
from hub_tfx.embed.config import EmbedConfig  # noqa: E402
from hub_tfx.embed.job import embed_files  # noqa: E402
from hub_tfx.module.load import load  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402


def bare_loop(module_path: Path, source: Path, output: Path, batch_size: int) -> float:
    """Seconds of tf.data -> module -> Parquet, the module loaded before."""
    module = load(module_path)
    key = next(iter(module.signature_spec.inputs))
    features = {"image": tf.io.FixedLenFeature([], tf.string)}

    def decode(record: tf.Tensor) -> tf.Tensor:
        encoded = tf.io.parse_single_example(record, features)["image"]
        image = tf.image.convert_image_dtype(tf.io.decode_jpeg(encoded, 3), tf.float32)
        return tf.image.resize(image, (IMAGE_SIZE, IMAGE_SIZE))

    started_s = time.perf_counter()
    dataset = (
        tf.data.TFRecordDataset(str(source), "GZIP", buffer_size=1 << 20)
        .map(decode, tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )
    writer = None
    for images in dataset:
        vectors = next(iter(module({key: images}).values())).numpy()
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"embedding": column})
        writer = writer or pq.ParquetWriter(
            output, table.schema, use_dictionary=False, compression="NONE"
        )
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return time.perf_counter() - started_s


def on_beam(module: Path, source: Path, output: Path, batch_size: int) -> tuple[float, float]:
    """Seconds of hub_tfx on Beam's runner in this process: of the work, and of the whole job."""
    result = embed_files(
        ResolvedModule.of_directory(module),
        [str(source)],
        str(output),
        EmbedConfig(batch_size=batch_size),
    )
    return result.rows / result.rows_per_s, result.seconds


def main() -> None:
    """Prints rows a second of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, module = folder / "images.tfrecord.gz", image_module(folder / "module")
        write_images(source, arguments.rows)
        print(f"{arguments.rows:,} JPEG images, calls of {arguments.batch_size} rows")
        loops, ours, jobs = [], [], []
        for n in range(arguments.repeat):
            size = arguments.batch_size
            loops.append(bare_loop(module, source, folder / f"{n}.parquet", size))
            work_s, job_s = on_beam(module, source, folder / f"out-{n}", size)
            ours.append(work_s)
            jobs.append(job_s)
        print_line("bare loop", arguments.rows, loops)
        print_line("hub_tfx on Beam", arguments.rows, ours, f"{ratio(loops, ours)} of the loop")
        if arguments.peers:
            from benchmarks.peers import IMAGE_PEERS

            print_line("hub_tfx on Beam, whole job", arguments.rows, jobs[-1:])
            for number, (peer_name, peer) in enumerate(IMAGE_PEERS.items()):
                output = folder / f"peer-{number}"
                output.mkdir()
                seconds = peer(module, source, output)
                times = f"hub_tfx is {ratio([seconds], jobs[-1:])}"
                print_line(peer_name, arguments.rows, [seconds], times)


if __name__ == "__main__":
    main()
