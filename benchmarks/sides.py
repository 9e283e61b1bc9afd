"""One side of a comparison as a process of its own: see benchmarks.whole.

    python -m benchmarks.sides SIDE KIND MODULE SOURCE OUTPUT BATCH_SIZE

Prints the seconds of the steady state: those after imports and, where it can be told, module load.
"""

import os
import sys
from pathlib import Path

from hub_tfx._quiet import quiet_libraries

quiet_libraries()


def main() -> None:
    """Runs one side, and ends as a script of a user's would at best: at once."""
    side, kind, module, source, output, batch = sys.argv[1:]
    paths, rows = (Path(module), Path(source), Path(output)), int(batch)
    if side == "loop":
        from benchmarks import embed_images, embed_text, embed_transformer

        loops = {
            "image": embed_images.bare_loop,
            "text": embed_text.bare_loop,
            "transformer": embed_transformer.bare_loop,
        }
        seconds = loops[kind](*paths, rows)
    else:
        from benchmarks import peers

        paths[2].mkdir()
        seconds = getattr(peers, side)("image" if kind == "image" else "text", *paths, rows)
    print(f"{seconds:.3f}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
