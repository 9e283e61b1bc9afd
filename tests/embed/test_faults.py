"""Processes that are killed, modules that hang, disks that are full: real ones."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import disks
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.errors import OutputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module

pytestmark = pytest.mark.long

_FILES, _ROWS = 12, 30
_COMMAND = """
from hub_tfx.cli.main import main
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.limits import EmbedLimits

embed_files.__kwdefaults__["limits"] = EmbedLimits(min_unit_bytes=1)  # A work unit for each file.
main()
"""
_TWO_PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


class Steady(tf.Module):
    """Takes some milliseconds a row, and fails on the row `poison`."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        tf.debugging.Assert(tf.reduce_all(text != b"poison"), ["poisoned"])
        turns = 40 * tf.size(text)
        _, matrix = tf.while_loop(
            lambda turn, _: turn < turns,
            lambda turn, matrix: (turn + 1, tf.linalg.l2_normalize(matrix @ matrix + matrix)),
            [0, tf.eye(100)],
        )
        return tf.cast(tf.strings.length(text), tf.float32)[:, None] + 0 * matrix[0, 0]


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    path = tmp_path_factory.mktemp("steady") / "module"
    tf.saved_model.save(Steady(), str(path))
    return str(path)


@pytest.fixture
def inputs(tmp_path):
    """Files with a poison row each."""
    for file in range(_FILES):
        texts = [f"row {row}" if row != 7 else "poison" for row in range(_ROWS)]
        lines = [f"{file * _ROWS + row},{text}" for row, text in enumerate(texts)]
        (tmp_path / f"in{file:02}.csv").write_text("\n".join(["n,text", *lines, ""]))
    return f"{tmp_path}/in??.csv"


def start(*arguments):
    """`hub-tfx embed` in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _COMMAND, "embed", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Behind `&` a shell has its programs ignore it, and so would this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_parts(process, output, parts):
    while len(list(Path(output).glob(".tmp-*/embeddings-*.part.json"))) < parts:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def workers_of(process):
    """Process ids of Beam's workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            is_worker = b"apache_beam.runners.worker.sdk_worker_main" in path.read_bytes().split(
                b"\0"
            )
            if is_worker and os.getsid(int(path.parent.name)) == process.pid:
                found.append(int(path.parent.name))
        except OSError:  # Another process, which has ended.
            continue
    return found


def finished_parts(output):
    """Part files whose names, inodes and bytes a rerun should find."""
    texts = [path.read_text() for path in Path(output).glob(".tmp-*/*.part.json")]
    records = [
        json.loads(text) for text in texts if text.endswith("}")
    ]  # Else it was cut by the kill.
    return {record["sha256"] for record in records if record["kind"] == "embeddings"}


def check_rerun(steady, inputs, output):
    """A rerun takes over what was finished, and lacks and doubles nothing."""
    before = finished_parts(output)
    assert before
    assert not list(Path(output).glob("embeddings-*"))
    config = EmbedConfig(keep=("n",), batch_size=16)
    result = embed_files(ResolvedModule.of_directory(steady), [inputs], str(output), config)
    assert (result.rows, result.dead_letters) == (_FILES * (_ROWS - 1), _FILES)
    assert result.resumed > 0
    manifest = json.loads(Path(output, "manifest.json").read_text())
    assert before & {file["sha256"] for file in manifest["files"]}
    kinds = {"files": Path(output), "dead_letter_files": Path(output, "dead_letters")}
    numbers = [
        n
        for kind, folder in kinds.items()
        for file in manifest[kind]
        for n in pq.read_table(folder / file["name"])["n"].to_pylist()
    ]
    assert sorted(numbers) == list(range(_FILES * _ROWS))


@pytest.fixture
def arguments(steady, inputs, tmp_path):
    output = tmp_path / "out"
    options = ["--module", steady, "--input", inputs, "--output", str(output)]
    return output, [*options, "--keep", "n", "--batch-size", "16"]


# That the one signal interrupts a command as the other does is shown in cli/test_guard.py.
@pytest.mark.parametrize(
    "received", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGINT]
)
def test_a_run_that_is_told_to_stop_says_so_and_the_next_one_goes_on(
    arguments, steady, inputs, received
):
    output, options = arguments
    process = start(*options)
    wait_for_parts(process, output, 3)
    process.send_signal(received)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + received
    assert stderr.strip() == "hub-tfx: error: interrupted"
    check_rerun(steady, inputs, output)


def test_a_run_that_is_killed_is_resumed(arguments, steady, inputs):
    output, options = arguments
    process = start(*options)
    wait_for_parts(process, output, 3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    check_rerun(steady, inputs, output)


def test_a_worker_that_is_killed_fails_the_job_and_the_next_one_goes_on(arguments, steady, inputs):
    output, options = arguments
    process = start(*options, "--", *_TWO_PROCESSES)
    wait_for_parts(process, output, 3)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "a worker ended before its rows were written" in stderr.splitlines()[-1]
    assert "Traceback" not in stderr
    assert not (output / "manifest.json").exists()
    check_rerun(steady, inputs, output)


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(0, id="the first batch"),
        pytest.param(2049, id="the second of two", marks=pytest.mark.slow),
    ],
)
def test_a_module_that_cannot_be_cancelled_fails_the_job_and_the_process_ends(tmp_path, before):
    lines = ["cat"] * before + ["stuck"] + ["cat"] * before
    (tmp_path / "in.txt").write_text("\n".join([*lines, ""]))
    script = """
        import sys, time
        import numpy as np, tensorflow as tf
        from hub_tfx.embed.call import deadline
        from hub_tfx.embed.config import EmbedConfig
        from hub_tfx.embed.job import ResolvedModule, embed_files
        from hub_tfx.errors import ModuleStuckError

        class Stuck(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def __call__(self, text):
                def sleep(texts):
                    return np.float32(b"stuck" in texts and time.sleep(300) or 0)

                slept = tf.numpy_function(sleep, [text], tf.float32)
                return tf.cast(tf.strings.length(text), tf.float32)[:, None] + slept

        folder = sys.argv[1]
        stuck = Stuck()
        tf.saved_model.save(stuck, folder + "/module")
        deadline._GRACE_S = 0.5
        module = ResolvedModule.of_directory(folder + "/module")
        try:
            config = EmbedConfig(call_timeout_s=1, batch_size=8)
            embed_files(module, [folder + "/in.txt"], folder + "/out", config)
        except ModuleStuckError as error:
            print(error)
    """
    done = run(script, tmp_path)
    assert "longer than 1 s and cannot be cancelled" in done.stdout
    assert done.returncode == 1
    assert not (tmp_path / "out").exists()


@pytest.fixture
def leaving(tmp_path, monkeypatch):
    """The name of a package that ends the process it is imported into, with status 0."""
    (tmp_path / "leaving.py").write_text("import os\nos._exit(0)\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    return "leaving"


@pytest.mark.parametrize(
    "beam_options",
    [
        pytest.param([], id="one process"),
        pytest.param(_TWO_PROCESSES, id="two workers", marks=pytest.mark.slow),
    ],
)
def test_a_process_that_leaves_with_status_0_fails_the_run(arguments, leaving, beam_options):
    output, options = arguments
    command = "from hub_tfx.cli.main import main; main()"
    options = [*options, "--import", leaving, *(["--", *beam_options] if beam_options else [])]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", command, "embed", *options],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    assert "the process left with status 0" in told or "a worker ended before its rows" in told
    assert not list(output.glob("embeddings-*"))
    assert not (output / "manifest.json").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 200 KB."""
    with disks.small_disk(tmp_path / "disk", "200k") as folder:
        yield folder


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_a_full_disk_fails_the_job_and_leaves_nothing(tmp_path, small_disk, output_format):
    words = [os.urandom(20).hex() for _ in range(20_000)]
    (tmp_path / "in.csv").write_text("\n".join(["text", *words, ""]))
    module = ResolvedModule.of_directory(text_module(tmp_path / "text"))
    with pytest.raises(OutputError, match=r"(?i)no space left on device"):
        embed_files(
            module,
            [str(tmp_path / "in.csv")],
            str(small_disk / "out"),
            EmbedConfig(keep=("text",)),
            output_format,
        )
    assert not list(small_disk.iterdir())


def test_a_parquet_file_that_names_a_program_does_not_run_it(tmp_path):
    make = """
        import sys, pathlib, pyarrow as pa, pyarrow.parquet as pq

        class Hostile(pa.PyExtensionType):
            def __init__(self):
                super().__init__(pa.string())

            def __reduce__(self):
                return pathlib.Path.touch, (pathlib.Path(sys.argv[1], "ran"),)

        text = pa.ExtensionArray.from_storage(Hostile(), pa.array(["cat"]))
        pq.write_table(pa.table({"text": text}), sys.argv[1] + "/in.parquet")
    """
    read_by = "import sys; {}; print(read(sys.argv[1] + '/in.parquet'))"
    assert run(make, tmp_path).returncode == 0
    ours = read_by.format("from hub_tfx.data.readers import PARQUET; read = PARQUET.infer_schema")
    done = run(ours, tmp_path)
    assert "InputError" in done.stderr
    assert "in.parquet cannot be read as Parquet: Disallowed deserialization" in done.stderr
    assert not (tmp_path / "ran").exists()
    run(read_by.format("from pyarrow.parquet import read_schema as read"), tmp_path)
    assert (tmp_path / "ran").exists(), "the file does no harm, so this test shows nothing"


def test_the_guard_against_such_files_is_ours_and_not_only_that_of_beam(tmp_path):
    """Beam imports it too, today, so that its effect does not show whose it is."""
    who = """
        import builtins
        real, importers = builtins.__import__, set()

        def noted(name, given=None, *rest, **named):
            if name == "pyarrow_hotfix":
                importers.add(given["__name__"])
            return real(name, given, *rest, **named)

        builtins.__import__ = noted
        from hub_tfx.data.readers import PARQUET
        try:
            PARQUET.infer_schema(__import__("sys").executable)
        except Exception:
            pass
        print(sorted(importers))
    """
    assert "hub_tfx.data.readers.parquet" in run(who, tmp_path).stdout
