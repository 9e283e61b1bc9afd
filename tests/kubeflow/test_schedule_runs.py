"""`hub-tfx schedule` for Kubernetes, cron and systemd, which run `hub-tfx run`."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cards import CARD, write_card
from command_lines import assert_golden
from manifests import check_cron_job
from schedules import IN_CLUSTER, NIGHTLY, RETRAIN, printed, run

from hub_tfx.cli.main import run_command
from hub_tfx.store.lock_file import Locked, LockFile, add_to_lock_file
from hub_tfx_pipelines.config_cli import config

# --- Kubernetes -----------------------------------------------------------------------------------


def test_a_cron_job_is_the_golden_one(folder, capsys, update_golden):
    arguments = [*NIGHTLY, *IN_CLUSTER, "--timezone", "Europe/Berlin", "--namespace", "ml"]
    text = printed(capsys, "cronjob", "retrain.yaml", *arguments)
    config_map, cron_job = yaml.safe_load_all(text)
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(config_map, version, strict=True)
    check_cron_job(cron_job)
    assert_golden(text, "schedule/cronjob.yaml", update_golden)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeZone", "timezone"),
        ("drop:", "drops:"),
        ("secretKeyRef", "secretRef"),
        ("16Gi", "16GiB"),
    ],
)
def test_a_typo_in_a_cron_job_is_found(folder, capsys, old, new):
    text = printed(capsys, "cronjob", "retrain.yaml", *NIGHTLY, *IN_CLUSTER)
    _, cron_job = yaml.safe_load_all(text.replace(old, new))
    with pytest.raises(AssertionError):
        check_cron_job(cron_job)


def test_the_container_finds_its_config_and_card_and_no_password(folder, capsys, monkeypatch):
    Path("cards").mkdir()
    Path("card.md").rename("cards/words.md")
    file = Path("retrain.yaml")
    add_to_lock_file("modules.json", {"https://example.org/text/1": Locked("0" * 64)})
    lock_file = "lock_file: modules.json\n"
    file.write_text(RETRAIN.replace("card.md", "./cards/words.md") + lock_file)
    text = printed(capsys, "cronjob", file, *NIGHTLY, *IN_CLUSTER)
    config_map, cron_job = yaml.safe_load_all(text)
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    volume, container = pod["volumes"][0], pod["containers"][0]
    assert volume["name"] == container["volumeMounts"][0]["name"]
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"]
    for item in volume["configMap"]["items"]:
        mounted = folder / "mounted" / item["path"]
        mounted.parent.mkdir(parents=True, exist_ok=True)
        mounted.write_text(config_map["data"][item["key"]])
    monkeypatch.chdir(folder / "mounted")
    assert Path("cards/words.md").read_text() == CARD
    assert LockFile.read("modules.json").modules
    assert container["command"] == ["hub-tfx", "run", "retrain", "--config", "config.yaml"]
    assert run_command(config, ["check", "config.yaml"], "config") == 0
    (variable,) = [v for v in container["env"] if v["name"] == "METADATA_PASSWORD"]
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "mysql", "key": "password"}}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        (
            "secrets: {METADATA_PASSWORD",
            "secrets: {OTHER",
            "write METADATA_PASSWORD: NAME/KEY under",
        ),
        (
            "/data/run",
            "/data2/run",
            "/data2/run is not on a volume of the container: mount one there",
        ),
        ("/data/run", "run", "cannot reach run: name a bucket, a URL, or an absolute path"),
        ("mysql://tfx@mysql.kubeflow.svc:3306/metadb", "/m.db?", "/m.db?"),
        ("metadata: ", "# ", "retrain.yaml: metadata is missing: name the place of ML Metadata"),
        ("card.md", "FOLDER/card.md", "goes into a ConfigMap: name it by a relative path"),
        ("fine_tune: ", "fine_tuned: ", "retrain.yaml:6: fine_tuned: is not a key"),
        (
            "  image: ",
            "  # ",
            "image of the steps is missing: give --image, or image under platform",
        ),
        (
            "account: trainer",
            "account: a@b.example.org",
            "a@b.example.org is not one of Kubernetes",
        ),
        (
            ", timeout",
            ", retries: 1, retry_delay: 5m, timeout",
            "platform.defaults.retry_delay: Kub",
        ),
        ("  env: ", "  steps: {Transform: {cpu: 1}}\n  env: ", "with --set platform.steps={}"),
    ],
)
def test_a_config_that_no_container_can_run_is_refused(folder, capsys, old, new, complaint):
    assert RETRAIN.count(old) == 1
    Path("retrain.yaml").write_text(RETRAIN.replace(old, new.replace("FOLDER", str(folder))))
    output = ["--output", folder / "cronjob.yaml"]
    code, out, err = run(capsys, "cronjob", "retrain.yaml", *NIGHTLY, *IN_CLUSTER, *output)
    assert (code, out) == (2, "")
    assert complaint in err
    assert not output[1].exists()


def test_what_is_set_for_the_check_is_set_in_the_run(folder, capsys):
    steps = "  steps: {Transform: {cpu: 1}}\n  env: "
    Path("retrain.yaml").write_text(RETRAIN.replace("  env: ", steps))
    arguments = [*NIGHTLY, *IN_CLUSTER, "--image", "other:2", "--set", "platform.steps={}"]
    _, cron_job = yaml.safe_load_all(printed(capsys, "cronjob", "retrain.yaml", *arguments))
    check_cron_job(cron_job)
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "other:2"
    assert container["command"][-2:] == ["--set", "platform.steps={}"]


def test_a_config_that_says_nothing_of_the_platform_gets_what_a_run_needs(folder, capsys):
    text = RETRAIN[: RETRAIN.index("platform:")]
    Path("retrain.yaml").write_text(text.replace("?password_env=METADATA_PASSWORD", ""))
    arguments = [*NIGHTLY, *IN_CLUSTER, "--image", "other:2"]
    _, cron_job = yaml.safe_load_all(printed(capsys, "cronjob", "retrain.yaml", *arguments))
    check_cron_job(cron_job)
    job = cron_job["spec"]["jobTemplate"]["spec"]
    assert job["backoffLimit"] == 2
    (container,) = job["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"cpu": "2", "memory": "8Gi"}}
    assert job["template"]["spec"]["automountServiceAccountToken"] is False


# --- Machines -------------------------------------------------------------------------------------

ODD = 'odd 100% of it\'s "folder" $HOME'


def program_in(folder):
    """A program that tells where it ran and with what, and waits while there is a file `wait`."""
    program = folder / "hub tfx"
    program.write_text(
        '#!/bin/sh\npwd\nfor a in "$@"; do echo "<$a>"; done\n'
        "while [ -e wait ]; do sleep 0.02; done\n"
    )
    program.chmod(0o755)
    return program


def test_the_units_and_the_line_are_the_golden_ones(folder, capsys, update_golden):
    arguments = ["retrain.yaml", *NIGHTLY, "--program", "/opt/hub-tfx/bin/hub-tfx"]
    arguments += ["--directory", "/srv/retrain", "--name", "nightly"]
    for kind, file in (("crontab", "crontab.txt"), ("systemd", "systemd_units.txt")):
        text = printed(capsys, kind, *arguments).replace(str(folder), "/FOLDER")
        assert_golden(text, f"schedule/{file}", update_golden)


def as_cron_runs_it(line):
    """What cron gives to `sh`: the rest of a line, where % without a backslash is a line break."""
    command = line.split(None, 5)[5]
    assert not re.search(r"(?<!\\)%", command)
    return command.replace(r"\%", "%")


def test_the_line_of_a_crontab_runs_in_its_folder_once_at_a_time(folder, capsys):
    place = folder / ODD
    place.mkdir()
    shutil.copy("retrain.yaml", place / "a%d.yaml")
    write_card(folder)
    arguments = [place / "a%d.yaml", *NIGHTLY, "--directory", place, "--program"]
    line = printed(capsys, "crontab", *arguments, program_in(folder))
    assert line.count("\n") == 1
    assert line.startswith("0 2 * * 1-5 cd ")
    command = ["/bin/sh", "-c", as_cron_runs_it(line)]
    (place / "wait").touch()
    environment = {"PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, env=environment, cwd="/") as first:
        log = place / "hub-tfx-retrain.log"
        while not (log.exists() and log.read_text().endswith("a%d.yaml>\n")):
            assert first.poll() is None
        assert subprocess.run(command, env=environment, cwd="/").returncode == 1
        (place / "wait").unlink()
    assert first.returncode == 0
    told = [str(place), "<run>", "<retrain>", "<--config>", f"<{place / 'a%d.yaml'}>"]
    assert log.read_text().splitlines() == told


def units_of(capsys, *arguments):
    """The paths of the service and the timer."""
    paths = printed(capsys, "systemd", *arguments, "--output", "units").splitlines()
    assert paths == ["units/hub-tfx-retrain.service", "units/hub-tfx-retrain.timer"]
    return [Path(path) for path in paths]


def read_unit(path):
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes="#")
    parser.optionxform = str
    parser.read_string(path.read_text())
    return parser


def test_the_units_of_systemd_say_what_runs_and_when(folder, capsys):
    place = folder / ODD
    place.mkdir()
    arguments = ["retrain.yaml", *NIGHTLY, "--directory", place, "--user", "tfx"]
    arguments += ["--program", program_in(folder), "--timezone", "Europe/Berlin"]
    service, timer = map(read_unit, units_of(capsys, *arguments))
    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["User"] == "tfx"
    assert service["Service"]["WorkingDirectory"].replace("%%", "%") == str(place)
    command = service["Service"]["ExecStart"].replace("%%", "%").replace("$$", "$")
    told = [str(folder / "hub tfx"), "run", "retrain", "--config", str(folder / "retrain.yaml")]
    assert shlex.split(command) == told
    assert timer["Timer"]["OnCalendar"] == "Mon..Fri *-*-* 02:00:00 Europe/Berlin"
    assert timer["Timer"]["Persistent"] == "false"
    assert timer["Install"]["WantedBy"] == "timers.target"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_takes_the_units_and_not_those_with_a_typo(folder, capsys):
    place = folder / ODD
    place.mkdir()
    arguments = ["retrain.yaml", *NIGHTLY, "--directory", place, "--program", program_in(folder)]
    service, timer = units_of(capsys, *arguments)
    verify = ["systemd-analyze", "verify", "--man=no", timer, service]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    text = timer.read_text()
    for old, new in (("OnCalendar", "OnCalender"), ("Mon", "Mun"), ("Persistent", "Persistant")):
        timer.write_text(text.replace(old, new))
        assert subprocess.run(verify, capture_output=True, text=True).stderr
