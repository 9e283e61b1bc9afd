"""Fuzzes one target: `python tests/fuzz/run_target.py TARGET RUNS FOLDER`.

It begins with what is in FOLDER/found, and adds what it finds. FOLDER gets a file crash-… if an
input fails. TensorFlow, which made some of that, is not imported: its threads outlive the end.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["hub_tfx"]):
    from fuzz_targets import CORPUS, read

_MAX_BYTES = 8192


def main(target: str, runs: str, folder: str) -> None:
    arguments = [
        sys.argv[0],
        f"-atheris_runs={runs}",
        "-seed=1",
        f"-max_len={_MAX_BYTES}",
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-verbosity=0",
        f"-artifact_prefix={folder}/",
        str(Path(folder, "found")),
    ]
    kept = CORPUS / target
    atheris.Setup([*arguments, *([str(kept)] if kept.is_dir() else [])], lambda d: read(target, d))
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
