"""How a demo begins."""

import logging
import os
import shutil
from pathlib import Path

from hub_tfx._quiet import quiet_libraries


def begin(out: Path) -> None:
    """Empties the folder of a demo, and sets this process up; before NumPy is imported.

    One thread gives the same last digits, and so the same digests, on every machine.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ["TFHUB_CACHE_DIR"] = str(out / "cache")
    quiet_libraries()
    logging.getLogger("hub_tfx").setLevel(logging.ERROR)  # The demo's own lines say it.
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
