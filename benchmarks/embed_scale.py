"""More rows and more workers: peak memory, and two worker processes against one.

    python -m benchmarks.embed_scale [--rows 200000] [--times 10]

Each job is `hub-tfx embed` in a process of its own. Peak memory is the largest resident set that
the operating system saw of it; how often the module was loaded is a metric of the job. Rates leave
out the start of the workers (10 to 20 s, while each imports TensorFlow and Beam), which a job of
hours does not notice.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

import numpy as np  # noqa: E402

from benchmarks.embed_text import DIM, WORDS, write_corpus  # noqa: E402
from hub_tfx.module.create import text_embedding_module  # noqa: E402

_TWO_WORKERS = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def embed(
    module: Path, sources: Sequence[Path], output: Path, beam: Sequence[str] = ()
) -> tuple[float, float, int]:
    """Rows a second, peak megabytes and loads of the module of one job."""
    program = str(Path(sys.executable).with_name("hub-tfx"))
    command = [program, "embed", "--module", str(module), "--output", str(output), "--json"]
    paths = ["--input", *map(str, sources)]
    process = subprocess.Popen([*command, *paths, "--", *beam], stdout=subprocess.PIPE)
    assert process.stdout is not None
    result = json.load(process.stdout)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, f"{command} ended with status {status}"
    return result["rows_per_s"], usage.ru_maxrss / 1024, result["metrics"]["module_loads"]


def main() -> None:
    """Prints a line for each job."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors = np.random.default_rng(0).normal(size=(WORDS, DIM)).astype(np.float32)
        words = [f"word{n}" for n in range(WORDS)]
        module = text_embedding_module(words, vectors, folder / "m", format="saved_model").path
        sources = [folder / f"{n}.tfrecord.gz" for n in range(arguments.times)]
        write_corpus(sources[0], arguments.rows)
        for copy in sources[1:]:
            shutil.copy(sources[0], copy)
        small = embed(module, sources[:1], folder / "small")
        large = embed(module, sources, folder / "large")
        for rows, (rate, peak, _) in ((1, small), (arguments.times, large)):
            print(f"{rows * arguments.rows:>10,} rows {rate:>10,.0f}/s   peak {peak:,.0f} MB")
        print(f"peak memory, large to small: {large[1] / small[1]:.2f}")
        ratios = []
        for n in range(arguments.repeat):
            one, *_ = embed(module, sources[:4], folder / f"one-{n}")
            two, _, loads = embed(module, sources[:4], folder / f"two-{n}", _TWO_WORKERS)
            ratios.append(two / one)
            rates = f"one worker {one:,.0f}/s, two workers {two:,.0f}/s: {two / one:.2f}"
            print(f"{rates}; the two loaded the module {loads} times", flush=True)
        print(f"two workers to one, median: {sorted(ratios)[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    main()
