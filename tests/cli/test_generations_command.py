"""`hub-tfx generations`: what it prints and ends with."""

import json
from pathlib import Path

import pytest
from pushes import digest_of, write_embeddings

from hub_tfx.cli.main import run
from hub_tfx.embed.output.push import push_generation
from hub_tfx.repository.local import LocalStorage


def test_it_lists_the_generations_the_latest_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for n, module in enumerate(["one", "other"]):
        output = write_embeddings(tmp_path / str(n), [[0.0]] * (n + 1), module)
        when = push_generation(root, output, run=f"run-{n}").generation.when
    assert run(["generations", str(root)]) == 0
    head, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert head == ["generation", "module", "digest", "rows", "when", "run", "latest"]
    assert [row[:4] for row in rows] == [
        ["1", "hub/one", digest_of("one"), "1"],
        ["2", "hub/other", digest_of("other"), "2"],
    ]
    assert rows[1][4:] == [when.replace("+00:00", "Z"), "run-1", "yes"]
    assert run(["generations", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["latest"], [g["number"] for g in told["generations"]]) == (2, [1, 2])


def test_a_root_without_a_generation_says_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LocalStorage(str(tmp_path)).create("-/embeddings.json", b'{"layout": 1}\n')
    assert run(["generations", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "a pipeline with --embeddings-root pushes one" in err


@pytest.mark.parametrize("name", ["missing", "hdfs://host/x", ""])
def test_what_is_not_a_root_is_one_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["generations", name]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hub-tfx: error: ")
    assert "unexpected" not in line
