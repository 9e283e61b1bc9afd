"""Peak memory of fine-tuning on few images and on many: it is to stay the same.

    python -m benchmarks.finetune_memory [--small-mb 100] [--large-mb 2000] [--format tf1_hub]

A smoke run: ``--small-mb 20 --large-mb 80``. It takes three times ``--large-mb`` on the disk.

Images are PNG of random pixels, which do not compress, in Parquet with row groups of 256; a small
image module is trained on them for 20 steps of 32 rows. Each measurement is a process of its own,
and what is printed is the largest resident set that it ever had, TensorFlow itself included. The
bare loop is tf.data over the same rows, shuffled within as many bytes, without a module: what
reading and decoding alone take.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_ROWS_PER_GROUP = 256
_IMAGE_SIZE = 128
_MODULE_SIZE = 64
_STEPS = 20
_BATCH_SIZE = 32
_SHUFFLE_BYTES = 64 << 20
_MB = 1_000_000


def write_images(path: Path, megabytes: int) -> int:
    """Writes that much of PNG files with a label each; gives how many there are."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import tensorflow as tf

    rng = np.random.default_rng(0)
    schema = pa.schema({"image": pa.binary(), "label": pa.string()})
    rows = size = 0
    with pq.ParquetWriter(path, schema, compression="NONE", use_dictionary=False) as writer:
        while size < megabytes * _MB:
            shape = [_ROWS_PER_GROUP, _IMAGE_SIZE, _IMAGE_SIZE, 3]
            pixels = rng.integers(0, 256, shape, np.uint8)
            images = [tf.io.encode_png(image, compression=1).numpy() for image in pixels]
            labels = ["ab"[n % 2] for n in range(len(images))]
            writer.write_table(pa.table([images, labels], schema=schema))
            rows, size = rows + len(images), size + sum(map(len, images))
    return rows


def fine_tune(source: str, module: str, folder: str) -> None:
    """The job that is measured."""
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    from hub_tfx.finetune.config import FineTuneConfig
    from hub_tfx.finetune.job import fine_tune_files
    from hub_tfx.module.resolved import ResolvedModule

    config = FineTuneConfig(
        "label", steps=_STEPS, batch_size=_BATCH_SIZE, eval_every=_STEPS, eval_steps=5
    )
    base = ResolvedModule.of_directory(module)
    fine_tune_files(base, [source], [], f"{folder}/out", config)


def bare_loop(source: str, _: str, __: str) -> None:
    """Reads, shuffles, decodes and drops all rows."""
    import pyarrow.parquet as pq
    import tensorflow as tf

    def rows() -> Any:
        for batch in pq.ParquetFile(source).iter_batches(_ROWS_PER_GROUP, columns=["image"]):
            yield from batch.column("image").to_pylist()

    def decode(encoded: Any) -> Any:
        image = tf.image.convert_image_dtype(tf.io.decode_png(encoded, 3), tf.float32)
        return tf.image.resize(image, (_MODULE_SIZE, _MODULE_SIZE))

    dataset = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec([], tf.string))
    window = _SHUFFLE_BYTES // (3 * _IMAGE_SIZE**2)
    dataset = dataset.shuffle(window).map(decode, tf.data.AUTOTUNE)
    for _batch in dataset.batch(_BATCH_SIZE).prefetch(tf.data.AUTOTUNE):
        pass


def peak_of_this_process() -> int:
    """Bytes. ``ru_maxrss`` would not do: it begins with that of the process that started this one,
    see exec_mmap in Linux's fs/exec.c."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


_JOBS = {"fine-tune": fine_tune, "bare loop": bare_loop}


def peak_mb(job: str, source: Path, module: Path, folder: Path) -> float:
    """Peak resident set of a process that runs a job."""
    command = [sys.executable, "-m", "benchmarks.finetune_memory", "--job", job]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        given = ["--of", str(source), str(module), scratch]
        done = subprocess.run([*command, *given], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the peak of each job on each input, and the ratio of large to small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small-mb", type=int, default=100)
    parser.add_argument("--large-mb", type=int, default=2000)
    parser.add_argument("--format", choices=["tf1_hub", "saved_model"], help="default: both")
    parser.add_argument("--folder", type=Path, help="for temporary files")
    parser.add_argument("--job", choices=list(_JOBS), help=argparse.SUPPRESS)
    parser.add_argument("--of", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        _JOBS[arguments.job](*arguments.of)
        print(peak_of_this_process() / _MB)
        return
    from hub_tfx._quiet import quiet_libraries

    quiet_libraries()
    from hub_tfx.testing import image_module

    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        sources = {}
        for megabytes in (arguments.small_mb, arguments.large_mb):
            sources[megabytes] = folder / f"{megabytes}.parquet"
            rows = write_images(sources[megabytes], megabytes)
            print(f"{megabytes:,} MB of images: {rows:,} rows", flush=True)
        formats = [arguments.format] if arguments.format else ["tf1_hub", "saved_model"]
        for module_format in formats:
            module = image_module(folder / module_format, module_format, _MODULE_SIZE)
            _compare("fine-tune", module_format, sources, module, folder)
        _compare("bare loop", "tf.data", sources, module, folder)


def _compare(job: str, of: str, sources: dict[int, Path], module: Path, folder: Path) -> None:
    peaks = [peak_mb(job, source, module, folder) for source in sources.values()]
    small, large = (f"{peak:>8,.0f} MB" for peak in peaks)
    print(f"{job:<12}{of:<14}{small}{large}   {peaks[-1] / peaks[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
