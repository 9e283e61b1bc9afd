"""`hub-tfx embed`, as a person or a script calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hub_tfx.cli.main import run as run_main
from hub_tfx.cli.options import pairs
from hub_tfx.embed.output import sink
from hub_tfx.errors import UsageError
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.archive import pack
from hub_tfx.testing import serve, text_module


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return text_module(tmp_path_factory.mktemp("text") / "1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory with a cache of its own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def run(capsys):
    """Runs the command in this process: exit code, stdout, stderr."""

    def call(*arguments):
        exit_code = run_main(["embed", *map(str, arguments)])
        output = capsys.readouterr()
        return exit_code, output.out, output.err

    return call


def csv_file(name="a.csv", texts=("cat", "dog")):
    Path(name).write_text("n,text\n" + "".join(f"{n},{t}\n" for n, t in enumerate(texts)))
    return name


def table_of(output):
    manifest = json.loads(Path(output, "manifest.json").read_text())
    (file,) = manifest["files"]
    return pq.read_table(Path(output, file["name"]))


def fails(result, exit_code, complaint):
    """One line on stderr, nothing on stdout, this exit code."""
    code, out, err = result
    assert (code, out) == (exit_code, ""), err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("hub-tfx: error: ")
    assert complaint in err


def test_the_fields_are_printed_one_a_line(run, module):
    code, out, err = run("--module", module, "--input", csv_file(), "--output", "out")
    assert (code, err) == (0, "")
    fields = dict(line.split("\t") for line in out.splitlines())
    assert list(fields) == ["rows", "dead letters", "seconds", "rows/s", "output", "module digest"]
    assert (fields["rows"], fields["dead letters"], fields["output"]) == ("2", "0", "out")
    assert fields["module digest"] == Manifest.of_directory(module).digest


def test_json_is_one_document_with_these_keys(run, module):
    code, out, err = run("--module", module, "--input", csv_file(), "--output", "out", "--json")
    document = json.loads(out)
    assert list(document) == [
        "rows",
        "dead_letters",
        "resumed",
        "reused",
        "duplicates",
        "seconds",
        "rows_per_s",
        "output",
        "module_digest",
        "metrics",
    ]
    assert (document["rows"], document["dead_letters"], document["output"]) == (2, 0, "out")
    assert document["module_digest"] == Manifest.of_directory(module).digest
    assert (code, err) == (0, "")


def test_several_values_may_follow_one_option(run, module):
    names = [csv_file(f"{name}.csv", [name]) for name in "abc"]
    code, out, _ = run(
        "--input", *names, "--module", module, "--keep", "n", "text", "--output", "o"
    )
    assert (code, out.splitlines()[0]) == (0, "rows\t3")
    assert table_of("o").select(["n", "text"]).to_pylist() == [
        {"n": 0, "text": name} for name in "abc"
    ]


def test_the_same_with_the_option_repeated_and_with_an_equals_sign(run, module):
    for name in "abcd":
        csv_file(f"{name}.csv", [name])
    code, out, _ = run(
        *("--input", "a.csv", "--input=b.csv", "c.csv", "--module", module),
        *("--input", "d.csv", "--output", "o"),
    )
    assert (code, out.splitlines()[0]) == (0, "rows\t4")


@pytest.mark.parametrize(
    "glob",
    [
        "./*.csv",
        "*.csv",
    ],
)
def test_a_glob_in_quotes_is_ours_to_expand(run, module, glob):
    csv_file("a.csv")
    csv_file("b.csv")
    code, out, _ = run("--input", glob, "--module", module, "--output", "o")
    assert (code, out.splitlines()[0]) == (0, "rows\t4")


def test_maps_rename_inputs_and_outputs(run, module):
    Path("a.jsonl").write_text('{"body": "cat", "id": 7}\n')
    code, _, err = run(
        *("--input", "a.jsonl", "--module", module, "--output", "o", "--keep", "id"),
        *("--input-map", "default=body", "--output-map", "default=vector"),
    )
    assert (code, err) == (0, "")
    assert table_of("o").schema.names == ["id", "vector"]


def test_options_behind_two_dashes_are_those_of_beam(run, module, monkeypatch):
    seen = []
    from hub_tfx.embed import job

    real = job.make_pipeline
    monkeypatch.setattr(job, "make_pipeline", lambda given: (seen.append(given), real(given))[1])
    code, _, err = run(
        *("--module", module, "--input", csv_file(), "--output", "o"),
        *("--", "--runner=FnApiRunner", "--direct_num_workers=1"),
    )
    assert (code, err) == (0, "")
    assert seen[-1] == ["--runner=FnApiRunner", "--direct_num_workers=1"]


def test_tfrecord_output_is_gzipped(run, module):
    code, _, _ = run(
        *("--module", module, "--input", csv_file(), "--output", "o", "--format", "tfrecord")
    )
    assert code == 0
    (part,) = Path("o").glob("embeddings-*.tfrecord.gz")
    assert part.read_bytes()[:2] == b"\x1f\x8b"


def test_rejected_rows_are_told_on_stderr(run, module):
    Path("a.jsonl").write_text('{"text": "cat"}\n{"text": null}\n')
    code, out, err = run("--module", module, "--input", "a.jsonl", "--output", "o")
    assert (code, out.splitlines()[1]) == (0, "dead letters\t1")
    assert err == "hub-tfx: 1 rows rejected, see o/dead_letters\n"


def test_a_second_run_replaces_the_output_of_the_first(run, module):
    run("--module", module, "--input", csv_file(), "--output", "o")
    code, out, _ = run("--module", module, "--input", csv_file("b.csv", "x"), "--output", "o")
    assert (code, out.splitlines()[0]) == (0, "rows\t1")
    assert table_of("o").num_rows == 1


def test_a_module_from_a_server_is_fetched_once_and_then_from_the_cache(run, module):
    with serve({"/acme/text/1": module}) as base:
        handle = f"{base}/acme/text/1"
        assert run("--module", handle, "--input", csv_file(), "--output", "o")[0] == 0
    assert run("--module", handle, "--input", csv_file(), "--output", "o")[0] == 0


# --- Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "exit_code", "complaint"),
    [
        (["stray"], 2, "unexpected extra argument (stray)"),
        (["--json", "a.csv"], 2, "unexpected extra argument (a.csv)"),
        (["--nonsense"], 2, "No such option"),
        (["--batch-size", "0"], 2, "0 is not in the range"),
        (["--max-dead-letter-ratio", "2"], 2, "2.0 is not in the range"),
        (["--format", "xml"], 2, "'xml' is not one of"),
        (["--input-map", "text"], 2, "--input-map takes KEY=FEATURE, not 'text'"),
        (["--output-map", "a=b", "a=c"], 2, "--output-map names 'a' twice"),
        (["--input-map", "zip=text"], 2, "no input 'zip'; it has default (string[?])"),
        (["--output-map", "zip=text"], 2, "no output 'zip'"),
        (["--signature", "zip"], 2, "no signature 'zip'"),
        (["--keep", "zip"], 2, "no feature 'zip' to keep; the input has n, text"),
        (["--module", ""], 2, "the module handle is empty"),
        (["--module", "nobody://x/y"], 2, "nobody"),
        (["--module", "nowhere"], 1, "nowhere cannot be read"),
        (["--input", "nowhere.csv"], 1, "no file matches the input nowhere.csv"),
        (["--input", "a.docx"], 1, "a.docx"),
        (["--output", "a.csv"], 1, "a.csv is a file: name a directory"),
        (["--", "--direct_num_workers=x"], 2, "argument --direct_num_workers: invalid int"),
    ],
)
def test_an_error_is_one_line_an_exit_code_and_no_output(
    run, module, folder, change, exit_code, complaint
):
    csv_file()
    Path("a.docx").write_text("x")
    given = ["--module", module, "--input", "a.csv", "--output", "o", *change]
    fails(run(*given), exit_code, complaint)
    assert sorted(os.listdir(folder)) == ["a.csv", "a.docx"]


@pytest.mark.parametrize("left_out", ["--module", "--input", "--output"])
def test_a_required_option_is_named(run, left_out):
    given = {"--module": "m", "--input": "a.csv", "--output": "o"}
    arguments = [
        word for name, value in given.items() if name != left_out for word in (name, value)
    ]
    fails(run(*arguments), 2, f"Missing option '{left_out}'")


def test_everything_rejected_is_exit_code_3_and_only_dead_letters(run, module):
    Path("a.jsonl").write_text('{"text": null}\n' * 3)
    result = run("--module", module, "--input", "a.jsonl", "--output", "o")
    fails(
        result,
        3,
        "3 of 3 records were rejected, and not all may be: no embeddings were written "
        "(the first is a.jsonl:1: feature 'text' is missing); see o/dead_letters",
    )
    assert os.listdir("o") == ["dead_letters"]


def test_more_rejected_than_allowed_is_exit_code_3(run, module):
    Path("a.jsonl").write_text('{"text": "cat"}\n{"text": null}\n')
    result = run(
        *("--module", module, "--input", "a.jsonl", "--output", "o"),
        *("--max-dead-letter-ratio", "0.1"),
    )
    fails(result, 3, "1 of 2 records were rejected, and at most 10.0% may be")


def test_other_bytes_behind_the_same_handle_are_exit_code_5(run, module, tmp_path):
    archive = tmp_path / "text.tar.gz"
    pack(module, archive)
    with serve({"/acme/text/1": archive}) as base:
        given = ["--module", f"{base}/acme/text/1", "--input", csv_file(), "--output"]
        assert run(*given, "o")[0] == 0
        for file in Path(os.environ["TFHUB_CACHE_DIR"]).rglob("saved_model.pb"):
            file.write_bytes(b"damaged, so that it is fetched again")
        archive.unlink()
        pack(text_module(tmp_path / "other", dim=5), archive)
        result = run(*given, "p")
    fails(result, 5, "its bytes have changed")
    assert not Path("p").exists()


def test_a_failure_half_way_leaves_nothing_under_the_final_name(run, module, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink.PartWriter, "write", full)
    result = run("--module", module, "--input", csv_file(), "--output", "o")
    fails(result, 1, "No space left on device")
    assert not Path("o").exists()


def test_an_unexpected_error_is_one_line_too(run, module, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug\nwith two lines")

    monkeypatch.setattr(sink.PartWriter, "write", broken)
    result = run("--module", module, "--input", csv_file(), "--output", "o")
    fails(result, 1, "unexpected RuntimeError: a bug with two lines")


def test_debugging_shows_where(run, module, monkeypatch):
    monkeypatch.setenv("HUB_TFX_DEBUG", "1")
    from hub_tfx.errors import InputError

    with pytest.raises(InputError, match=r"no file matches the input nowhere\.csv"):
        run("--module", module, "--input", "nowhere.csv", "--output", "o")


# --- As a process ---------------------------------------------------------------------------------


def process(*arguments):
    command = [sys.executable, "-c", "from hub_tfx.cli.main import main; main()", "embed"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def test_a_successful_run_says_nothing_on_stderr(module):
    done = process("--module", module, "--input", csv_file(), "--output", "o", "--json")
    said = [line for line in done.stderr.splitlines() if not line.startswith("hub-tfx: working")]
    assert (done.returncode, said) == (0, [])  # A slow machine has time for progress.
    assert json.loads(done.stdout)["rows"] == 2


def test_a_failed_run_says_one_line_on_stderr(module):
    Path("a.jsonl").write_text('{"text": null}\n' * 3)
    done = process("--module", module, "--input", "a.jsonl", "--output", "o")
    fails((done.returncode, done.stdout, done.stderr), 3, "3 of 3 records were rejected")


def test_help_costs_no_import_of_beam_and_shows_an_example():
    code = (
        "import sys; from hub_tfx.cli.main import run; run(['embed', '--help']);"
        "sys.exit(bool({'tensorflow', 'apache_beam', 'tfx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hub-tfx embed --module ./my_module" in done.stdout
    assert "[-- BEAM OPTIONS…]" in done.stdout


@pytest.mark.parametrize(
    ("values", "parsed"),
    [
        ([], {}),
        (["a=b"], {"a": "b"}),
        (["a=b", "c=d"], {"a": "b", "c": "d"}),
        (["with=sign=b"], {"with=sign": "b"}),
    ],
)
def test_pairs_are_key_and_feature(values, parsed):
    assert pairs("--input-map", values) == parsed


@pytest.mark.parametrize("value", ["", "a", "=b", "a=", "="])
def test_what_is_no_pair_is_refused(value):
    with pytest.raises(UsageError, match="takes KEY=FEATURE"):
        pairs("--input-map", [value])


def test_a_runner_that_beam_does_not_have_is_a_usage_error(run, module):
    code, _, err = run(
        *("--module", module, "--input", csv_file(), "--output", "o", "--", "--runner=Nope")
    )
    assert code == 2
    assert "Beam has no runner Nope" in err
    assert not Path("o").exists()


def test_unchanged_rows_are_copied_and_counted(run, module):
    run("--module", module, "--input", csv_file(texts=["cat", "dog"]), "--output", "out")
    arguments = ["--module", module, "--input", csv_file(texts=["cat", "mat"]), "--output", "out"]
    code, out, err = run(*arguments, "--previous", "out")
    assert (code, err) == (0, "")
    fields = dict(line.split("\t") for line in out.splitlines())
    assert (fields["rows"], fields["reused"]) == ("2", "1")
    _, out, _ = run(*arguments, "--previous", "out", "--json")
    assert json.loads(out)["reused"] == 2


def test_a_row_of_its_own_is_embedded_once_on_request(run, module):
    texts = csv_file(texts=["cat", "dog", "cat"])
    code, out, _ = run("--module", module, "--input", texts, "--output", "out", "--deduplicate")
    fields = dict(line.split("\t") for line in out.splitlines())
    assert (code, fields["rows"], fields["duplicates"]) == (0, "3", "1")


def test_why_nothing_is_copied_is_one_line(run, module):
    arguments = ["--module", module, "--input", csv_file(), "--previous", "out", "--output", "out"]
    fails(run(*arguments[:-1], "new"), 1, "there is no earlier output in out")
    code, _, err = run(*arguments)
    assert (code, len(err.splitlines())) == (0, 1)
    told = "hub-tfx: nothing is copied, all rows are embedded: "
    assert err.startswith(f"{told}there is no earlier output in out")
    _, _, err = run(*arguments, "--normalize")
    assert err.strip() == f"{told}normalize changed since the earlier output was made"


def test_what_an_error_quotes_cannot_steer_the_terminal(run, module):
    result = run("--module", module, "--input", "a\x1b[2Jb.txt", "--output", "o")
    fails(result, 1, r"no file matches the input a\x1b[2Jb.txt")


def test_the_format_of_the_input_can_be_told(run, module):
    Path("part-0").write_text("text,n\ncat,1\ndog,2\n")
    arguments = ("--module", module, "--input", "part-0", "--output", "out")
    fails(run(*arguments), 1, "--input-format (txt, csv, jsonl, parquet or tfrecord)")
    assert run(*arguments, "--input-format", "csv")[0] == 0
    assert table_of("out").num_rows == 2
