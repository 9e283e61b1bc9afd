"""`hub-tfx create`."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tfx.cli.main import run
from hub_tfx.module.inspect import inspect
from hub_tfx.module.load import load
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.spec import ModuleFormat

FUNCTIONS = """
import tensorflow as tf, tensorflow_hub as hub

def plain():
    x = tf.compat.v1.placeholder(tf.float32, [None])
    hub.add_signature(inputs=x, outputs=2 * x)
    tf.compat.v1.add_to_collection("mine", x)

def variants(is_training):
    plain()
    w = tf.compat.v1.get_variable("w", [])

def unknown(size): pass
"""


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    (tmp_path / "v.txt.gz").write_bytes(gzip.compress(b"cat 1 2\ndog 3 4\n"))
    return str(tmp_path / "v.txt.gz")


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current directory that only `-m` would find."""
    name = f"functions_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return name


def test_text_embedding_prints_one_json_document(
    vectors: str, tmp_path: Path, module_format: ModuleFormat, capsys: pytest.CaptureFixture
):
    output = tmp_path / "1"
    arguments = ["--vectors", vectors, "--output", str(output), "--format", module_format]
    code = run(["create", "text-embedding", *arguments, "--num-oov-buckets", "3", "--json"])
    assert code == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(output)
    assert document["digest"] == Manifest.of_directory(output).digest
    assert document["format"] == module_format
    assert document["signatures"] == inspect(output).to_dict()["signatures"]
    assert load(output, "default")({"default": ["dog!"]})["default"].numpy().tolist() == [[3, 4]]


def test_without_json_it_prints_fields(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture):
    output = str(tmp_path / "1")
    assert run(["create", "text-embedding", "--vectors", vectors, "--output", output]) == 0
    lines = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert lines["path"] == output
    assert lines["signatures"] == "default"


def test_lines_that_give_no_word_are_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "v.txt").write_text("cat 1 2\nnew york 3 4\ndog 3\ncat 5 6\n")
    arguments = ["--vectors", str(tmp_path / "v.txt"), "--output", str(tmp_path / "1"), "--json"]
    assert run(["create", "text-embedding", *arguments]) == 0
    captured = capsys.readouterr()
    lines = [
        "line 3: expected 2 numbers, got 1",
        "line 4: the word 'cat' was already on line 1: keep one",
    ]
    # Texts are split at spaces, so nothing would ever be found as `new york`.
    assert json.loads(captured.out)["left_out"] == [*lines, "new york"]
    assert (
        f"v.txt: lines left out because they give no word: 2 ({'; '.join(lines)})" in captured.err
    )


def test_a_bad_vector_file_that_is_read_strictly_ends_in_one_line_and_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "v.txt").write_text("cat 1 2\ndog 3\n")
    arguments = ["--vectors", str(tmp_path / "v.txt"), "--output", str(tmp_path / "1")]
    assert run(["create", "text-embedding", *arguments, "--strict"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (f"hub-tfx: error: {tmp_path}/v.txt:2: expected 2 numbers, got 1\n")
    assert not (tmp_path / "1").exists()


def test_module_builds_both_variants_of_a_function_with_is_training(
    functions: str, capsys: pytest.CaptureFixture
):
    arguments = ["--module-fn", f"{functions}:variants", "--output", "1", "--json"]
    assert run(["create", "module", *arguments, "--drop-collection", "mine"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == [[], ["train"]]


def test_module_builds_one_variant_of_another_function(
    functions: str, capsys: pytest.CaptureFixture
):
    arguments = ["--module-fn", f"{functions}:plain", "--output", "1", "--json"]
    assert run(["create", "module", *arguments, "--drop-collection", "mine"]) == 0
    assert json.loads(capsys.readouterr().out)["tags"] == [[]]
    assert load("1")({"default": [1.0]})["default"].numpy().tolist() == [2.0]


@pytest.mark.parametrize(
    ("module_fn", "code", "message"),
    [
        ("{}", 2, "expected PACKAGE.MODULE:FUNCTION"),
        ("{}:absent", 2, "has no attribute 'absent'"),
        ("{}:tf", 2, "it is not a function"),
        ("{}:unknown", 2, "the parameters size"),
        ("no_such_package.x:f", 2, "cannot be imported: ModuleNotFoundError"),
        ("{}:plain", 1, "does not build a valid module"),
    ],
)
def test_a_function_that_cannot_be_used_ends_in_one_line(
    module_fn: str, code: int, message: str, functions: str, capsys: pytest.CaptureFixture
):
    arguments = ["--module-fn", module_fn.format(functions), "--output", "1"]
    assert run(["create", "module", *arguments]) == code
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
    assert not Path("1").exists()


def test_a_person_sees_nothing_of_tensorflow(vectors: str, tmp_path: Path):
    code = "import sys; from hub_tfx.cli.main import main; main(sys.argv[1:])"
    arguments = ["create", "text-embedding", "--vectors", vectors, "--output", str(tmp_path / "1")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_the_help_imports_no_tensorflow():
    code = (
        "import sys; from hub_tfx.cli.main import run; run(['create', 'module', '--help']);"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
