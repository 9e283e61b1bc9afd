"""What a training hands over, without a training: for a sweep over all points where it may die.

As a program, `python deliveries.py FOLDER INJECTION|- CALL…` kills the delivery of a second output
at each of these system calls, one after the other, and prints what was left each time.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from killing import kill_points

from hub_tfx._files import remove_temporary, replacing
from hub_tfx.finetune.deliver import deliver

_PARTS = ("module", "serving")
_ASIDE = ".{}.hub_tfx-replaced"  # Where the filesystem cannot swap two names.


def write_made(folder: Path, which: str) -> None:
    """What a trainer leaves in its work directory."""
    for part in _PARTS:
        for name in ("saved_model.pb", "variables/variables.index", "assets/words.txt"):
            path = folder / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{which} {part} {name} " * 500)


def hand_over(made: Path, output: Path) -> None:
    """As fine_tune_files does when a training is over."""
    remove_temporary(output)
    for part in _PARTS:
        deliver(made / part, output / part, lambda copy: None)
    with replacing(output / "report.json") as temporary:
        temporary.write_text("new")


def state_of(output: Path, folder: Path) -> str:
    """``earlier`` or ``new`` where both parts are, ``between`` where each is one of them, whole,
    and nothing says that the output is finished; ``none`` otherwise."""
    states = []
    for part in _PARTS:
        found = [output / part, output / _ASIDE.format(part)]
        contents = [_content(path) for path in found if path.is_dir()]
        states.append(
            next((w for w in ("new", "earlier") if _content(folder / w / part) in contents), "none")
        )
    is_finished = (output / "report.json").exists()
    if len(set(states)) == 1 and (states[0] == "new" or not is_finished):
        return states[0]
    return "none" if "none" in states or is_finished else "between"


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def sweep(folder: Path, injections: Sequence[str], calls: Sequence[str]) -> Counter[str]:
    """Counts what was left where a delivery was killed; after each, the next one is right."""
    output = folder / "out"
    for which in ("earlier", "new"):
        write_made(folder / which, which)

    def prepare() -> None:
        shutil.rmtree(output, ignore_errors=True)
        for part in _PARTS:
            shutil.copytree(folder / "earlier" / part, output / part)

    def run() -> None:
        hand_over(folder / "new", output)

    left: Counter[str] = Counter()
    for _ in kill_points(prepare, run, calls, *injections):
        left[state_of(output, folder)] += 1
        run()
        assert state_of(output, folder) == "new"
        assert sorted(path.name for path in output.iterdir()) == [
            *_PARTS[:1],
            "report.json",
            "serving",
        ]
    return left


if __name__ == "__main__":
    _, where, injected, *names = sys.argv
    print(json.dumps(sweep(Path(where), [] if injected == "-" else [injected], names)))
