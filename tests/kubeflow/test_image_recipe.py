"""The recipe of the container image, where it is not built: see tests/engines/test_image.py."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "kubeflow" / "build_image.sh"
STAGES = ("dependencies", "product", "user", "stand_in")
NEVER_IN_IT = {"pytest", "mypy", "ruff", "hypothesis", "moto", "hera", "kubernetes-validate", "kfp"}


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, with continued lines joined."""
    text = (ROOT / "kubeflow" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def locked(file: str) -> dict[str, str]:
    """Package -> version."""
    return dict(
        re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+) \\$", (ROOT / file).read_text(), re.M)
    )


def test_the_image_takes_the_versions_that_are_tested_and_each_by_its_hash() -> None:
    ours, tested = locked("requirements-image.lock"), locked("requirements.lock")
    assert len(ours) > 200
    assert ours.items() <= tested.items()
    assert NEVER_IN_IT.isdisjoint(ours)
    for requirement in re.split(r"\n(?=\S)", (ROOT / "requirements-image.lock").read_text()):
        assert "--hash=sha256:" in requirement, requirement


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage: the one of what it is based on, and then its own."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions():
        if name == "FROM":
            base, _, stage = rest.partition(" AS ")
            found[stage] = [(name, base)]
        elif found:
            found[[*found][-1]].append((name, rest))
    return found


def test_the_compiler_stays_in_the_first_stage_and_the_last_runs_as_nobody() -> None:
    first, base, _, _, last = stages().values()
    assert first[0] == ("FROM", "python:${PYTHON}-bookworm")
    assert base[0] == ("FROM", "python:${PYTHON}-slim-bookworm")
    copied = [rest for name, rest in base if name == "COPY"]
    assert copied == ["--from=build /opt/hub-tfx /opt/hub-tfx"]
    assert last[:2] == [("FROM", "base"), ("USER", "65532:65532")]
    labels = " ".join(rest for name, rest in base if name == "LABEL")
    assert {"title", "licenses", "version"} <= {*re.findall(r"image\.(\w+)=", labels)}


def test_workers_of_dataflow_have_the_boot_of_the_same_beam() -> None:
    arguments = dict(rest.split("=") for name, rest in instructions() if name == "ARG")
    assert f'apache-beam[gcp]=={arguments["BEAM"]}"' in (ROOT / "pyproject.toml").read_text()
    worker = stages()["beam-worker"]
    assert worker[0] == ("FROM", "base")
    assert ("COPY", "--from=beam /opt/apache/beam /opt/apache/beam") in worker
    assert worker[-1] == ("ENTRYPOINT", '["/opt/apache/beam/boot"]')


def test_its_steps_are_those_of_the_script_and_of_make_image_root() -> None:
    runs = [rest for name, rest in instructions() if name == "RUN"]
    used = [found for run in runs for found in re.findall(r"build_image\.sh (\w+) /$", run)]
    assert used == ["dependencies", "product", "user"]
    assert f"for stage in {' '.join(STAGES)}; do" in (ROOT / "Makefile").read_text()


def test_what_is_copied_is_there_and_not_ignored() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"
    }
    copied = [
        source
        for name, rest in instructions()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists()
        assert source.split("/")[0] in allowed
    assert {source.split("/")[0] for source in copied} == allowed


@pytest.mark.parametrize("arguments", [[], ["all", "/"], ["dependencies"]])
def test_the_script_does_nothing_where_it_is_called_wrongly(arguments: list[str]) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr
