"""Whole processes against whole processes: from start to committed output, with what they cost.

    python -m benchmarks.whole image|transformer|text [--rows N] [--repeat 3] [--peers] [--sweep]
        [--before TREE]

Each side is a process, in turn: `hub-tfx embed` with its defaults; a bare loop (tf.data or pyarrow,
the module, a Parquet writer; it checks, counts and resumes nothing); with `--peers` (extra `bench`)
other ways to run a module on Beam, each with the batch size that was best for it in a sweep; with
`--sweep` hub_tfx with fixed batch sizes; with `--before` the hub_tfx of another checkout. Printed:
rows a second of the whole process and of the steady state, page faults a row, share of system time,
peak memory, and how many times faster hub_tfx was, run by run. Only ratios mean anything, and only
on a quiet machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_OURS = "hub_tfx"
_SWEPT = {"image": (4, 8, 16, 32, 64), "transformer": (8, 16, 32, 64, 128), "text": (512, 2048)}
_LOOP_BATCH = {"image": 32, "transformer": 32, "text": 2048}
_ROWS = {"image": 2000, "transformer": 4000, "text": 2_000_000}
_WORD_COUNTS = (5, 35)
_PEERS = ("bulk_inferrer", "run_inference")  # They read TFRecord.
_COMMAND = "from hub_tfx.cli.main import main; main()"


@dataclass(frozen=True)
class Run:
    """What one process took.

    Attributes:
      seconds: wall time of all of it.
      steady_s: of what it says itself was work on rows.
      system_share: of the CPU time, spent in the kernel.
      faults: page faults.
      peak_mb: largest resident size.
    """

    seconds: float
    steady_s: float
    system_share: float
    faults: int
    peak_mb: float


def measured(arguments: Sequence[str], tree: Path | None = None) -> Run:
    """Runs a Python process to its end.

    Raises:
      RuntimeError: it failed.
    """
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONPATH=str(tree or Path.cwd()))
    with tempfile.TemporaryFile("w+") as told:
        started_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *arguments],
            stdout=told,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=tree,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started_s
        told.seek(0)
        text = told.read()
    if status:
        raise RuntimeError(f"{' '.join(arguments)} ended with status {status}")
    return Run(
        seconds,
        _steady_s(text),
        usage.ru_stime / (usage.ru_stime + usage.ru_utime),
        usage.ru_minflt,
        usage.ru_maxrss / 1024,
    )


def _steady_s(told: str) -> float:
    if told.lstrip().startswith("{"):
        result = json.loads(told)
        return float(result["rows"] / result["rows_per_s"])
    return float(told.split()[-1])


@dataclass(frozen=True)
class Case:
    """A module and its corpus."""

    kind: str
    module: Path
    source: Path

    @classmethod
    def make(cls, kind: str, rows: int, folder: Path) -> "Case":
        """Makes both in a process that ends, so that TensorFlow is not in this one."""
        code = (
            f"from benchmarks.whole import make_case; make_case({kind!r}, {rows}, {str(folder)!r})"
        )
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
        (source,) = folder.glob("corpus.*")
        return cls(kind, folder / "module", source)

    def ours(self, output: Path, batch_size: int | None = None, tree: Path | None = None) -> Run:
        """`hub-tfx embed`."""
        fixed = [] if batch_size is None else ["--batch-size", str(batch_size)]
        options = ["--module", str(self.module), "--input", str(self.source)]
        return measured(
            ["-c", _COMMAND, "embed", *options, "--output", str(output), "--json", *fixed], tree
        )

    def side(self, side: str, output: Path, batch_size: int) -> Run:
        """The bare loop, or a peer."""
        paths = [str(path) for path in (self.module, self.source, output)]
        return measured(["-m", "benchmarks.sides", side, self.kind, *paths, str(batch_size)])


def make_case(kind: str, rows: int, folder: str) -> None:
    """Writes `module` and `corpus.*`."""
    import tensorflow as tf

    from benchmarks import embed_text, embed_transformer, models

    path = Path(folder)
    if kind == "image":
        models.image_module(path / "module")
        models.write_images(path / "corpus.tfrecord.gz", rows)
    elif kind == "transformer":
        tf.saved_model.save(embed_transformer.TextTransformer(), str(path / "module"))
        embed_transformer.write_texts(
            path / "corpus.parquet", rows, lambda rng: rng.randint(*_WORD_COUNTS)
        )
    else:
        embed_text.make_module(path / "module", "saved_model")
        embed_text.write_corpus(path / "corpus.tfrecord.gz", rows)


def main() -> None:
    """Prints a line a side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=sorted(_ROWS))
    parser.add_argument("--rows", type=int)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--before", type=Path)
    arguments = parser.parse_args()
    rows = arguments.rows or _ROWS[arguments.kind]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = Case.make(arguments.kind, rows, folder)
        sides = sides_of(case, folder, arguments)
        runs: dict[str, list[Run]] = {side: [] for side in sides}
        for _ in range(arguments.repeat):
            for side, run in sides.items():
                runs[side].append(run(folder / f"out-{time.time_ns()}"))
    print(f"{rows:,} rows, {arguments.kind}; median of {arguments.repeat}, whole processes")
    for side, of_side in runs.items():
        print_side(side, rows, of_side, runs[_OURS])


def sides_of(
    case: Case, folder: Path, arguments: argparse.Namespace
) -> Mapping[str, Callable[[Path], Run]]:
    """Name of a side -> what runs it."""
    batch = _LOOP_BATCH[case.kind]
    sides: dict[str, Callable[[Path], Run]] = {
        _OURS: case.ours,
        f"loop, batches of {batch}": lambda output: case.side("loop", output, batch),
    }
    for size in _SWEPT[case.kind] if arguments.sweep else ():
        sides[f"hub_tfx, batches of {size}"] = lambda output, size=size: case.ours(output, size)
    if arguments.before:
        tree = arguments.before.resolve()
        sides["hub_tfx before"] = lambda output: case.ours(output, tree=tree)
    for peer in (
        ("bulk_inferrer", "run_inference")
        if arguments.peers and case.source.suffix == ".gz"
        else ()
    ):
        tried = {
            size: case.side(peer, folder / f"{peer}-{size}", size).seconds
            for size in _SWEPT[case.kind]
        }
        best = min(tried, key=lambda size: tried[size])
        sides[f"{peer}, batches of {best}"] = lambda output, peer=peer, best=best: case.side(
            peer, output, best
        )
    return sides


def print_side(side: str, rows: int, runs: Sequence[Run], ours: Sequence[Run]) -> None:
    """Rates, costs, and the ratio to hub_tfx."""

    def median(of: Callable[[Run], float]) -> float:
        return statistics.median(of(run) for run in runs)

    ratios = [other.seconds / own.seconds for other, own in zip(runs, ours, strict=True)]
    print(
        f"{side:<32}{rows / median(lambda r: r.seconds):>9,.1f}/s"
        f"{rows / median(lambda r: r.steady_s):>11,.1f}/s steady"
        f"{median(lambda r: r.faults) / rows:>8,.1f} faults/row"
        f"{median(lambda r: r.system_share):>6.0%} system"
        f"{median(lambda r: r.peak_mb):>7,.0f} MB"
        f"   {statistics.median(ratios):5.2f} ({', '.join(f'{r:.2f}' for r in ratios)})",
        flush=True,
    )


if __name__ == "__main__":
    main()
