"""An engine that is not there, or is not what options say: one line, before a module is fetched."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from apache_beam.runners.portability.local_job_service import LocalJobServicer
from cards import CARD
from ports import free_port

from hub_tfx.beam.runner import check_engine, check_options, raise_own_errors
from hub_tfx.cli.main import run
from hub_tfx.errors import ConfigError, HubTfxError

DATAFLOW = (
    "--runner=DataflowRunner",
    "--project=acme",
    "--region=europe-west1",
    "--temp_location=gs://acme/temp",
    "--sdk_container_image=example.org/hub-tfx:1",
)
PORTABLE = ("--runner=PortableRunner", "--environment_type=LOOPBACK")
NOWHERE = "https://localhost:1/nowhere/1"  # Whoever fetched it would say so.


def without(name):
    return [option for option in DATAFLOW if not option.startswith(f"--{name}")]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["--runner=PrismRuner"], "Beam has no runner PrismRuner; did you mean PrismRunner?"),
        (["--runner=zzz"], "Beam has no runner zzz; it has DataflowRunner, "),
        (["--runner=nowhere.Runner"], "the runner nowhere.Runner cannot be had: No module named"),
        (["--runner=os.Runner"], "the runner os.Runner cannot be had: module 'os' has no"),
        (["--runner=collections.OrderedDict"], "collections.OrderedDict is not a runner of Beam"),
        (["--runner=PrismRunner", "--zzz"], "Beam has no option --zzz"),
        (["--runner=PortableRunner"], "PortableRunner needs --job_endpoint=HOST:PORT"),
        ([*PORTABLE[:1], "--job_endpoint=a:1"], "do not have hub_tfx: choose --environment_type"),
        ([*PORTABLE[:1], "--environment_type=EXTERNAL"], "external_service_address is required"),
        (without("project"), "Missing required option: project"),
        (without("sdk"), "do not have hub_tfx: name an image that has it by --sdk_container_image"),
        ([*without("temp"), "--temp_location=/tmp"], "Invalid GCS path (/tmp), given for the opt"),
        ([*DATAFLOW, "--num_workers=5", "--max_num_workers=2"], "cannot exceed max_num_workers"),
        ([*DATAFLOW, "--machine_typ=n2"], "no option --machine_typ; did you mean --machine_type?"),
    ],
)
def test_what_options_say_is_checked_without_an_engine(given, complaint):
    with pytest.raises(ConfigError, match=r"^Beam options: ") as raised:
        check_options(given)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["--runner=fnapi"],
        DATAFLOW,
        without("temp"),  # Beam makes a bucket.
        [*without("sdk"), "--setup_file=./setup.py"],
        ["--runner=PrismRunner"],
        [*PORTABLE, "--job_endpoint=elsewhere:1", "--of_the_job_server=1"],
    ],
)
def test_what_may_run_elsewhere_is_not_refused(given):
    check_options(given)


@pytest.fixture
def job_server():
    """One of Beam's, which has no options of its own."""
    servicer = LocalJobServicer()
    port = servicer.start_grpc_server(0)
    yield f"localhost:{port}"
    servicer.stop()


def test_a_job_server_that_answers_knows_its_options(job_server):
    check_engine([*PORTABLE, f"--job_endpoint={job_server}"])
    with pytest.raises(ConfigError, match=f"the job server at {job_server} has an option --zzz"):
        check_engine([*PORTABLE, f"--job_endpoint={job_server}", "--zzz=2"])


def test_a_job_server_that_does_not_answer_is_named():
    endpoint = f"localhost:{free_port()}"
    with pytest.raises(ConfigError, match=f"no job server .* at --job_endpoint={endpoint} .*refus"):
        check_engine([*PORTABLE, f"--job_endpoint={endpoint}"])


def test_a_server_of_another_kind_is_no_job_server():
    with socket.create_server(("localhost", 0)) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: server.accept()[0].close())
        endpoint = f"localhost:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"no job server .* at --job_endpoint={endpoint}"):
            check_engine([*PORTABLE, f"--job_endpoint={endpoint}"])


def test_what_is_not_prism_is_told(tmp_path):
    script, text, missing = tmp_path / "script", tmp_path / "text", tmp_path / "missing"
    script.write_text("#!/bin/sh\necho hello\n")
    script.chmod(0o755)
    text.write_text("not a program")
    for path, complaint in (
        (script, f"{script} runs, but is not Prism"),
        (text, f"{text} cannot be run as Prism: .*Permission denied"),
        (missing, f"there is no Prism at --prism_location={missing}: "),
        (tmp_path, f"there is no Prism at --prism_location={tmp_path}: "),
    ):
        with pytest.raises(ConfigError, match=complaint):
            check_engine(["--runner=PrismRunner", f"--prism_location={path}"])
    check_options(["--runner=PrismRunner", f"--prism_location={missing}"])


COMMANDS = {
    "embed": ["embed", "--module", NOWHERE, "--input", "data/in.csv", "--output", "out"],
    "evaluate": [
        *("evaluate", "--module", NOWHERE, "--input", "data/in.csv", "--output", "out"),
        *("--label", "topic"),
    ],
    "run embed": [
        *("run", "embed", "--module", NOWHERE, "--data-root", "data", "--output-root", "out"),
    ],
    "run fine-tune": [
        *("run", "fine-tune", "--module", NOWHERE, "--data-root", "data", "--output-root", "out"),
        *("--label", "topic"),
    ],
    "run retrain": [
        *("run", "retrain", "--module", NOWHERE, "--data-root", "data", "--output-root", "out"),
        *("--label", "topic", "--publish", "modules", "--name", "acme/a", "--card", "card.md"),
    ],
    "compile": [
        *("compile", "embed", "--module", NOWHERE, "--data-root", "gs://a/data"),
        *("--pipeline-root", "gs://a/out", "--image", "example.org/a:1", "--target", "vertex"),
    ],
}


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """What a command says on stderr, as it ends with 2 and leaves nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in.csv").write_text("text,topic\na,b\n")
    (tmp_path / "card.md").write_text(CARD)
    (tmp_path / "embed.yaml").write_text(
        f"pipeline: embed\nmodule: {NOWHERE}\ndata_root: data\n"
        "beam_pipeline_args: [--runner=PrismRuner]\n"
    )
    there = sorted(tmp_path.rglob("*"))

    def run_and_read(*arguments):
        assert run([*arguments]) == 2
        assert sorted(tmp_path.rglob("*")) == there
        out, err = capsys.readouterr()
        (line,) = err.splitlines()
        assert out == ""
        return line

    return run_and_read


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it_first(told, command):
    line = told(*COMMANDS[command], "--", "--runner=PrismRuner")
    assert "Beam has no runner PrismRuner; did you mean PrismRunner?" in line
    assert "Missing required option: project" in told(*COMMANDS[command], "--", *without("project"))


@pytest.mark.parametrize("command", COMMANDS.keys() - {"compile"})
def test_every_command_that_runs_asks_for_the_engine(told, command):
    engine = ["--runner=PrismRunner", "--prism_location=nowhere"]
    assert "there is no Prism at --prism_location=nowhere" in told(
        *COMMANDS[command], "--", *engine
    )


def test_a_file_is_told_with_its_line(told):
    line = told("run", "embed", "--config", "embed.yaml", "--output-root", "out")
    assert "embed.yaml:4: beam_pipeline_args: Beam options: Beam has no runner PrismRuner" in line


def test_steps_on_dataflow_are_not_given_folders_of_this_machine(told):
    line = told(*COMMANDS["run embed"], "--", *DATAFLOW)
    assert "Dataflow cannot reach data: input and output have to be gs://…" in line


@pytest.mark.parametrize(
    ("raised", "error", "told"),
    [
        (
            RuntimeError("Unable to fetch remote prism binary at https://a.zip: <no network>"),
            ConfigError,
            "name a Prism of this machine by --prism_location",
        ),
        (
            RuntimeError("bundle failed: ModuleNotFoundError: No module named 'hub_tfx'"),
            HubTfxError,
            "workers do not have hub_tfx",
        ),
    ],
)
def test_what_only_the_job_can_tell_is_one_line_as_well(raised, error, told):
    with pytest.raises(error, match=told), raise_own_errors():
        raise raised
