"""The retraining pipeline under SIGKILL: at each step's boundary and inside each executor.

    python tests/killed_retraining.py FOLDER [--step NAME ...] [--writes N]

A first version is published and a new span arrives, which makes a better one. The run that learns
it is killed at one point after the other; each time the run after it has to leave what a run that
nobody killed leaves. Prints a line of JSON for each point. A process of its own, since its children
need one that has run no TensorFlow.
"""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

for folder in (Path(__file__).parent, Path(__file__).parent / "pipelines"):
    sys.path.insert(0, str(folder))

from hub_tfx._quiet import quiet_libraries  # noqa: E402

quiet_libraries()

import pytest  # noqa: E402
import tensorflow_model_analysis  # noqa: E402, F401
from dying import FILE_EVENTS, Events, Point, in_child, read_points  # noqa: E402
from test_retrain_pipeline import ROWS, Schedule, make_modules  # noqa: E402
from tfx.utils import dependency_utils  # noqa: E402
from tfx_helpers import parents_of  # noqa: E402
from trust import trust_tuned  # noqa: E402

import hub_tfx_pipelines.retrain_pipeline  # noqa: E402, F401
from hub_tfx.evaluate import job  # noqa: E402
from hub_tfx.lineage.graph import Lineage, artifacts_with_digest, lineage_of  # noqa: E402
from hub_tfx.lineage.history import runs_of  # noqa: E402
from hub_tfx.lineage.store import open_sqlite  # noqa: E402
from hub_tfx.repository.names import ModuleName  # noqa: E402
from hub_tfx.repository.storage import open_storage  # noqa: E402
from hub_tfx.repository.versions import in_use, numbers, read_version  # noqa: E402

_NAME = ModuleName.parse("acme/words")


class Sweep:
    """Runs of one schedule, which begin where a copy of its folder was taken.

    Artifacts have absolute paths, so every run takes place in one and the same folder.
    """

    def __init__(self, folder: Path):
        """An empty folder."""
        self._folder, self._work = folder, folder / "work"
        self._modules = {name: folder / "made" / name for name in ("base", "fair", "good")}

    def prepare(self) -> list[Point]:
        """The first run, the new span, and what happens in the run that learns it."""
        self._child(lambda: make_modules(self._folder / "made"), "made")
        self._work.mkdir()
        self._child(lambda: self._schedule().write(1), "rows")
        self._child(lambda: self._schedule().run("fair"), "first")
        self._child(lambda: self._schedule().write(2), "rows")
        self._keep("first")
        self._run("whole")
        points = read_points(self._folder / "whole.events")
        self._restore("first")
        return points

    def kill(self, point: Point) -> None:
        """Runs the pipeline from where it stands, and kills it."""
        self._run("killed", point)

    def keep(self, name: str) -> None:
        self._keep(name)

    def restore(self, name: str) -> None:
        self._restore(name)

    def next_run(self) -> dict[str, Any]:
        """What the run after that has made, and what there is now."""
        result = self._folder / "result.json"
        result.unlink(missing_ok=True)

        def body() -> None:
            made = self._schedule().run("good")
            result.write_text(json.dumps({**_told(made), **_left(self._schedule())}))

        status = self._child(body, "next", check=False)
        if status or not result.exists():
            tail = (self._folder / "next.log").read_text(errors="replace").splitlines()[-3:]
            return {"failed": " | ".join(tail)}
        return dict(json.loads(result.read_text()))

    def _run(self, name: str, point: Point | None = None) -> None:
        def body() -> None:
            Events(self._work, self._folder / f"{name}.events", point).install()
            self._schedule().run("good")

        status = self._child(body, name, check=False)
        if status != (signal.SIGKILL if point else 0):
            sys.exit(f"{name} ended with {status}: {self._folder / name}.log")

    def _child(self, body: Callable[[], Any], name: str, check: bool = True) -> int:
        log = self._folder / f"{name}.log"
        log.write_bytes(b"")
        status = in_child(lambda: self._prepared(body), log)
        if check and status:
            sys.exit(f"{name} failed: {log.read_text(errors='replace')[-2000:]}")
        return status

    def _prepared(self, body: Callable[[], Any]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TFHUB_CACHE_DIR", str(self._work / "cache"))
            trust_tuned(patch)
            patch.setattr(job, "try_out", lambda *_: {})
            body()

    def _schedule(self) -> Schedule:
        return Schedule(self._work, self._modules)

    def _keep(self, name: str) -> None:
        shutil.rmtree(self._folder / name, ignore_errors=True)
        shutil.copytree(self._work, self._folder / name, symlinks=True)

    def _restore(self, name: str) -> None:
        shutil.rmtree(self._work)
        shutil.copytree(self._folder / name, self._work, symlinks=True)


def _told(made: dict[str, Any]) -> dict[str, Any]:
    keys = ("learn", "decided", "verdict", "published", "rows", "reused", "embedded_with")
    return {key: made[key] for key in keys if key in made}


def _left(schedule: Schedule) -> dict[str, Any]:
    """What the repository and ML Metadata hold."""
    storage = open_storage(schedule.folder / "modules")
    versions = numbers(storage, _NAME)
    digests = {number: read_version(storage, _NAME, number).digest for number in versions}
    store = open_sqlite(str(schedule.folder / "metadata.sqlite"))
    digest = schedule.digest("good")
    lineage = lineage_of(store, artifacts_with_digest(store, digest))
    known_as = {
        str(node.properties["handle"]).rpartition("//")[2]
        for node in lineage.artifacts.values()
        if node.properties.get("digest") == digest and "handle" in node.properties
    }
    [*before, last] = runs_of(store, "retrain")
    return {
        "versions": versions,
        "stable": in_use(storage, _NAME, "stable"),
        "is_good": digests.get(2) == digest,
        "lineage": sorted({step.name for step in lineage.steps.values()}),
        "known_as": sorted(known_as),
        "parent": _parent(lineage, digest),
        "killed": [step.name for run in before for step in run.open_steps],
        "cached": sum(step.state == "CACHED" for step in last.steps),
        "open": [step.name for step in last.open_steps],
    }


def _parent(lineage: Lineage, digest: str) -> str | None:
    """The version that the module with this digest was trained from."""
    trained = next(
        node.id
        for node in lineage.artifacts.values()
        if node.properties.get("digest") == digest
        and node.made_by is not None
        and lineage.steps[node.made_by].name.endswith("ModuleTrainer")
    )
    read = parents_of(lineage, trained).get("module_in_use")
    return read and str(read.properties.get("handle", "")).rpartition("//")[2]


def complaints(found: dict[str, Any]) -> list[str]:
    """What is not as a run that nobody killed leaves it."""
    if "failed" in found:
        return [f"the next run failed: {found['failed']}"]
    wanted = {"versions": [1, 2], "stable": 2, "is_good": True, "open": []}
    wanted |= {"rows": ROWS, "parent": "acme/words/1", "known_as": ["acme/words/2"]}
    wrong = [f"{key} is {found[key]}" for key, value in wanted.items() if found[key] != value]
    for step in ("ExampleGen", "ModuleTrainer", "ModuleEvaluator", "ModulePublisher"):
        if not any(name.endswith(step) for name in found["lineage"]):
            wrong.append(f"the lineage has no {step}")
    return wrong


def chosen(points: Sequence[Point], writes: int) -> Iterator[list[Point]]:
    """The points of each step, its begin first, with so many of its file events spread over it."""
    steps = list(dict.fromkeys(point.step for point in points))
    for step in steps:
        of_step = [point for point in points if point.step == step]
        files = [p for p in of_step if p.event.split()[0] in FILE_EVENTS.values()]
        spread = files if len(files) <= writes else files[:: -(-len(files) // writes)]
        yield [p for p in of_step if p not in files or p in spread or p == files[-1]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", action="append", default=[])
    parser.add_argument("--writes", type=int, default=6)
    arguments = parser.parse_args()
    package = dependency_utils.build_ephemeral_package()
    dependency_utils.build_ephemeral_package = lambda: package
    arguments.folder.mkdir(parents=True)
    sweep = Sweep(arguments.folder.resolve())
    points = sweep.prepare()
    for of_step in chosen(points, arguments.writes):
        begin = of_step[0]
        # What comes before this step is done once for all its points.
        sweep.kill(begin)
        sweep.keep("step")
        if arguments.step and begin.step not in arguments.step:
            continue
        for point in of_step:
            if point is not begin:
                sweep.restore("step")
                sweep.kill(point)
            found = sweep.next_run()
            print(json.dumps({**asdict(point), **found, "wrong": complaints(found)}), flush=True)
        sweep.restore("step")


if __name__ == "__main__":
    main()
