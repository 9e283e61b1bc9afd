"""`hub-tfx resolve` and `hub-tfx inspect`, as a person or a script calls them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_modules import build

from hub_tfx.cli.main import run
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat
from hub_tfx.store.archive import pack
from hub_tfx.testing import minimal_module, serve

_TEXT = {
    "inputs": {"text": {"dtype": "string", "shape": [None]}},
    "outputs": {"default": {"dtype": "float32", "shape": [None, 4]}},
}


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def module_dir(tmp_path: Path) -> Path:
    return minimal_module(tmp_path / "module")


def _run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    exit_code = run([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return exit_code, output.out, output.err


def test_resolve_json(
    module_dir: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve({"/acme/text/1": module_dir}) as url:
        first = _run(capsys, "resolve", f"{url}/acme/text/1", "--json")
        second = _run(capsys, "resolve", f"{url}/acme/text/1", "--json")
    digest = Manifest.of_directory(module_dir).digest
    assert json.loads(first[1]) == {
        "handle": f"{url}/acme/text/1",
        "path": str(cache_dir / "hub_tfx" / "modules" / digest / "module"),
        "digest": digest,
        "format": "saved_model",
        "size_bytes": Manifest.of_directory(module_dir).size_bytes,
        "cache_hit": False,
    }
    assert json.loads(second[1]) == json.loads(first[1]) | {"cache_hit": True}
    assert first[0] == second[0] == 0
    assert first[2] == second[2] == ""


def test_resolve_quietly_prints_the_path(
    module_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = _run(capsys, "resolve", module_dir, "-q", "--cache-dir", tmp_path / "other")
    assert Path(out.rstrip("\n")).is_dir()
    assert out.startswith(str(tmp_path / "other"))


def test_resolve_for_people(module_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _run(capsys, "resolve", module_dir)
    fields = dict(line.split("\t") for line in out.splitlines())
    assert fields["handle"] == str(module_dir)
    assert fields["cache_hit"] == "no"


@pytest.mark.parametrize("option", ["--sha256", "--digest"])
def test_a_pinned_module(option: str, module_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = Manifest.of_directory(module_dir).digest
    assert _run(capsys, "resolve", module_dir, option, digest)[0] == 0
    exit_code, out, err = _run(capsys, "resolve", module_dir, option, "0" * 64)
    assert (exit_code, out) == (5, "")
    assert digest in err
    assert "0" * 64 in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "why"),
    [
        (["resolve"], 2, "Missing argument"),
        (["resolve", ""], 2, "empty"),
        (["resolve", "ftp://bucket/m"], 2, "hf, http, https"),
        (["resolve", "/etc", "--sha256", "abc"], 2, "64 hex digits"),
        (["resolve", "/etc", "--sha256", ""], 2, "64 hex digits"),
        (["resolve", "/etc"], 1, "/etc is not a module"),
        (["inspect", "file:///etc"], 1, "/etc is not a module"),
        (["inspect", "/no/such/path"], 1, "No such file"),
        (["resolve", "/etc", "--cache-dir", "gs://bucket"], 1, "not a local directory"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(
    arguments: list[str], exit_code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _run(capsys, *arguments)
    assert (code, out) == (exit_code, "")
    assert why in err
    assert err.startswith("hub-tfx: error: ")
    assert len(err.splitlines()) == 1


def test_an_unsafe_archive_is_refused(
    module_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tarfile

    with tarfile.open(tmp_path / "m.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../x"))
    assert _run(capsys, "resolve", tmp_path / "m.tar")[0] == 5
    pack(module_dir, tmp_path / "m.tar")
    (tmp_path / "m.tar").write_bytes((tmp_path / "m.tar").read_bytes()[:-1])
    assert _run(capsys, "resolve", tmp_path / "m.tar")[0] == 1


def test_inspect_json(module_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code, out, _ = _run(capsys, "inspect", module_dir, "--json")
    document = json.loads(out)
    assert exit_code == 0
    assert document["format"] == "saved_model"
    assert document["tags"] == [["serve"]]
    assert document["signatures"] == {"serving_default": _TEXT}
    assert document["handle"] == str(module_dir)
    assert document["digest"] == Manifest.of_directory(module_dir).digest
    assert Path(document["path"]).is_dir()
    assert document["size_bytes"] > 0


def test_inspect_for_people(module_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _run(capsys, "inspect", module_dir)
    verdict = "nothing to refuse in 0 nodes of 1 graphs and 0 functions"
    told = f"tags\t{{serve}}\ndefault_signature\tserving_default\nverdict\t{verdict}\n\n"
    assert told in out
    assert out.splitlines()[-3:] == [
        "signature\tdirection\tkey\tdtype\tshape",
        "serving_default\tinput\ttext\tstring\t[?]",
        "serving_default\toutput\tdefault\tfloat32\t[?, 4]",
    ]


def test_inspect_of_real_modules(
    text_module_dir: Path, module_format: ModuleFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(_run(capsys, "inspect", text_module_dir, "--json")[1])
    assert document["format"] == module_format
    assert document["tags"] == ([[], ["train"]] if module_format == "tf1_hub" else [["serve"]])
    assert document["signatures"]["default"] == {
        "inputs": {"default": _TEXT["inputs"]["text"]},
        "outputs": _TEXT["outputs"],
    }


def test_inspect_shows_which_of_several_graphs_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = _with_another_graph(minimal_module(tmp_path / "m"), ["serve", "gpu"])
    _, out, _ = _run(capsys, "inspect", module)
    assert "tags\t{serve} {gpu, serve}\nused_tags\t{serve}\n" in out
    assert "serving_default\tinput" in out
    exit_code, out, _ = _run(capsys, "inspect", module, "--tags", "serve,gpu", "--json")
    assert exit_code == 0
    document = json.loads(out)
    assert document["used_tags"] == ["gpu", "serve"]
    assert list(document["signatures"]) == ["another"]
    exit_code, _, err = _run(capsys, "inspect", module, "--tags", "tpu")
    assert exit_code == 2
    assert "no tag set {tpu}; it has {serve}, {gpu, serve}" in err


def _with_another_graph(module: Path, tags: list[str]) -> Path:
    from typing import Any

    from hub_tfx.module.proto import saved_model_class

    saved_model: Any = saved_model_class()()
    saved_model.ParseFromString((module / "saved_model.pb").read_bytes())
    graph = saved_model.meta_graphs.add()
    graph.meta_info_def.tags.extend(tags)
    first = saved_model.meta_graphs[0].signature_def["serving_default"]
    graph.signature_def["another"].CopyFrom(first)
    (module / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    return module


def test_control_characters_in_names_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typing import Any

    from hub_tfx.module.proto import saved_model_class

    module = minimal_module(tmp_path / "hostile")
    saved_model: Any = saved_model_class()()
    saved_model.ParseFromString((module / "saved_model.pb").read_bytes())
    signatures = saved_model.meta_graphs[0].signature_def
    signatures["\x1b[2Jgone\n"].CopyFrom(signatures["serving_default"])
    (module / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    _, out, _ = _run(capsys, "inspect", module)
    assert "\x1b" not in out
    assert r"\x1b[2Jgone\n" in out


def test_a_terminal_shows_shapes_as_they_are(
    module_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = _run(capsys, "inspect", module_dir)
    assert "[?, 4]" in out
    assert "\t" not in out


_IMPORTS = """
import sys
{code}
print(sorted({{"tensorflow", "tfx", "apache_beam", "requests"}} & sys.modules.keys()))
"""


@pytest.mark.parametrize(
    "code",
    [
        "import hub_tfx",
        "import hub_tfx.store.cache, hub_tfx.store.archive, hub_tfx.store.fetch.local",
        "import hub_tfx.module.handle, hub_tfx.module.inspect, hub_tfx.testing",
        "from hub_tfx.cli.main import run; run(['--help'])",
        "import hub_tfx_pipelines.cli, hub_tfx_kubeflow.cli",  # As --help does.
        "from hub_tfx.cli.main import run; run(['resolve', '--help'])",
        "from hub_tfx.cli.main import run; assert run(['inspect', {module!r}]) == 0",
    ],
)
def test_what_is_light_stays_light(code: str, module_dir: Path) -> None:
    script = _IMPORTS.format(code=code.format(module=str(module_dir)))
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_http_needs_no_tensorflow_either(module_dir: Path) -> None:
    with serve({"/m/1": module_dir}) as url:
        code = f"from hub_tfx.cli.main import run; assert run(['resolve', '{url}/m/1']) == 0"
        script = _IMPORTS.format(code=code)
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "['requests']"


# --- What is found in a module -------------------------------------------------------------------


def test_a_module_from_elsewhere_that_may_do_harm_is_refused_in_one_line(
    tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve({"/acme/text/1": build(tmp_path / "hostile", "rows")}) as url:
        handle = f"{url}/acme/text/1"
        refused = _run(capsys, "resolve", handle)
        allowed = _run(capsys, "resolve", handle, "-q", "--allow-op", "ReadFile")
        warned = _run(capsys, "resolve", handle, "-q", "--policy", "warn")
    assert refused[:2] == (5, "")
    told = f"hub-tfx: error: {handle}: refused: op ReadFile in node 'evil' of function 'inner'"
    assert refused[2].startswith(told)
    assert len(refused[2].splitlines()) == 1
    assert (allowed[0], allowed[2]) == (0, "")
    assert warned[0] == 0
    assert "op ReadFile in node 'evil'" in warned[2]


def test_the_environment_has_a_policy_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build(tmp_path / "hostile", "graph")
    monkeypatch.setenv("HUB_TFX_POLICY", "strict")
    assert _run(capsys, "resolve", module)[0] == 5
    assert _run(capsys, "resolve", module, "--policy", "off")[0] == 0
    monkeypatch.setenv("HUB_TFX_POLICY", "none")
    exit_code, _, err = _run(capsys, "resolve", module)
    assert exit_code == 2
    assert "HUB_TFX_POLICY takes strict, warn, off, not 'none'" in err


def test_inspect_shows_the_verdict_of_what_is_refused_as_well(
    tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = build(tmp_path / "hostile", "rows")
    with serve({"/acme/text/1": module}) as url:
        handle = f"{url}/acme/text/1"
        exit_code, out, err = _run(capsys, "inspect", handle, "--json")
    assert exit_code == 5
    found = json.loads(out)
    assert found["handle"] == handle
    [finding] = found["verdict"]["findings"]
    assert (finding["op"], finding["node"], finding["function"]) == ("ReadFile", "evil", "inner")
    assert len(err.splitlines()) == 1
    assert not list(cache_dir.rglob("saved_model.pb"))
    exit_code, out, err = _run(capsys, "inspect", module)
    assert exit_code == 0
    assert "verdict\t1 findings in" in out
    assert "op\tReadFile\tevil\tinner\t{serve}\t1\tfiles: " in out


def test_inspect_shows_what_is_only_a_note(
    module_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (module_dir / "keras_metadata.pb").write_bytes(b'{"class_name": "Lambda"')
    assert "load_model runs it" in _run(capsys, "inspect", module_dir)[1]
    found = json.loads(_run(capsys, "inspect", module_dir, "--json")[1])
    assert found["verdict"]["ok"] is True


def test_ops_of_a_package_are_allowed_with_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = build(tmp_path / "hostile", "op of a package")
    exit_code, _, err = _run(capsys, "resolve", module, "--policy", "strict")
    assert exit_code == 5
    assert "--import tensorflow_text" in err
    strict = ("resolve", module, "--policy", "strict", "--import", "tensorflow_text")
    assert _run(capsys, *strict)[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ("embed", "--module", "{}", "--input", "x.txt", "--output", "o"),
        ("fine-tune", "--module", "{}", "--input", "x.csv", "--label", "y", "--output", "o"),
        ("evaluate", "--module", "{}", "--input", "x.csv", "--label", "y", "--output", "o"),
        ("publish", "{}", "--repository", "r", "--name", "a/b", "--card", "c.md"),
        ("check", "{}"),
        ("diff", "{}", "{}"),
        ("cache", "export", "{}", "--output", "b.tar"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_takes_a_module_obeys(
    command: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("x.txt", "x.csv"):
        Path(name).write_text("text,y\na,b\n")
    with serve({"/acme/text/1": build(tmp_path / "hostile", "rows")}) as url:
        given = [part.format(f"{url}/acme/text/1") for part in command]
        exit_code, out, err = _run(capsys, *given)
    assert (exit_code, out) == (5, "")
    assert "refused: op ReadFile in node 'evil' of function 'inner'" in err
    assert not Path("o").exists()
