"""A heavy image module, 1% of the rows changed: what the second run costs of the first.

    python -m benchmarks.embed_incremental [--images 2000] [--repeat 3]

The second run is given the first one's output (`--previous`). Both are timed by their manifests,
without imports and module load, and all told, which is what a person waits for.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()

from benchmarks.models import image_module, write_images  # noqa: E402
from hub_tfx.embed.config import EmbedConfig  # noqa: E402
from hub_tfx.embed.job import EmbedResult, embed_files  # noqa: E402
from hub_tfx.module.resolved import ResolvedModule  # noqa: E402


def embed(
    module: ResolvedModule, source: Path, output: Path, previous: Path | None = None
) -> tuple[EmbedResult, float]:
    """What a job did, and its seconds of work."""
    config = EmbedConfig(keep=("id",))
    done = embed_files(
        module, [str(source)], str(output), config, previous=str(previous) if previous else None
    )
    seconds: float = json.loads((output / "manifest.json").read_text())["working_s"]
    return done, seconds


def main() -> None:
    """Prints a line for each pair of runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        module = ResolvedModule.of_directory(image_module(folder / "module"))
        before, after = folder / "before.tfrecord.gz", folder / "after.tfrecord.gz"
        write_images(before, arguments.images)
        write_images(after, arguments.images, changed=True)
        ratios = []
        for n in range(arguments.repeat):
            full, full_s = embed(module, before, folder / f"full-{n}")
            again, again_s = embed(module, after, folder / f"again-{n}", folder / f"full-{n}")
            ratios.append(again_s / full_s)
            print(
                f"{full.rows:,} images {full_s:6.1f} s, all told {full.seconds:6.1f} s; "
                f"{again.rows - again.reused:,} changed {again_s:6.2f} s, all told "
                f"{again.seconds:6.1f} s: {ratios[-1]:.3f} of the full run",
                flush=True,
            )
        print(f"incremental to full, median: {statistics.median(ratios):.3f} (at most 0.1)")


if __name__ == "__main__":
    main()
