"""The container image, built into a folder: a user without rights runs steps in it, and only it.

The folder is the root of a mount namespace without a network, and nothing of it can be written but
/tmp and the module cache, as in the CronJob of `hub-tfx schedule cronjob`.
"""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from built import ROOT, require

pytestmark = pytest.mark.engines

IMAGE = ROOT / ".tools" / "image"
VENV = IMAGE / "opt" / "hub-tfx"
PACKAGES = VENV / "lib" / "python3.10" / "site-packages"
NOBODY = 65532
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NAMESPACES = ["unshare", "--mount", "--net", "--pid", "--fork"]
ENTER = """
root=$1 shared=$2; shift 2
mount --bind "$root" "$root"
mount --bind "$shared" "$root/mnt"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$root/var/cache/hub-tfx"
mount -o remount,ro,bind "$root"
exec env -i PATH=/opt/hub-tfx/bin:/bin HOME=/tmp TFHUB_CACHE_DIR=/var/cache/hub-tfx \\
    "$(command -v chroot)" --userspec=65532:65532 "$root" "$@"
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the image has at /mnt, which its user may write to."""
    require(IMAGE.with_suffix(".complete"))
    if os.getuid() != 0:
        pytest.skip("only root may change the root of a process")
    folder = tmp_path_factory.mktemp("shared")
    os.chown(folder, NOBODY, NOBODY)
    made = subprocess.run([*NAMESPACES, "/bin/true"], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no namespaces here: {made.stderr}")
    return folder


def run_inside(shared: Path, *command: str) -> str:
    enter = [*NAMESPACES, "/bin/sh", "-euc", ENTER, "sh", IMAGE, shared]
    done = subprocess.run([*enter, *command], capture_output=True, text=True, env={"PATH": PATH})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_command_and_a_step_of_kubeflow_start_as_nobody(shared: Path) -> None:
    assert run_inside(shared, "hub-tfx", "--version").startswith("hub-tfx, version ")
    entrypoint = "tfx.orchestration.kubeflow.container_entrypoint"
    assert "--tfx_ir" in run_inside(shared, "python", "-m", entrypoint, "--help")
    ids = run_inside(shared, "python", "-c", "import os; print(os.getuid(), os.getgid())")
    assert ids.split() == ["65532", "65532"]


def test_a_module_is_made_and_a_corpus_embedded(shared: Path) -> None:
    (shared / "words.txt").write_text("cat 1 0 0\ndog 0 1 0\n")
    (shared / "corpus.csv").write_text("id,text\n1,cat\n2,cat dog\n")
    made = ["--vectors", "/mnt/words.txt", "--output", "/mnt/module"]
    run_inside(shared, "hub-tfx", "create", "text-embedding", *made)
    given = ["--module", "/mnt/module", "--input", "/mnt/corpus.csv", "--keep", "id"]
    run_inside(shared, "hub-tfx", "embed", *given, "--output", "/mnt/embeddings")
    assert [*(shared / "embeddings").glob("embeddings-*")]
    assert (shared / "embeddings" / "manifest.json").exists()


def test_there_is_no_compiler_and_no_tool_of_development(shared: Path) -> None:
    programs = {path.name for path in IMAGE.glob("**/bin/*")}
    assert programs.isdisjoint({"cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "uv"})
    packages = {path.name.lower() for path in PACKAGES.iterdir()}
    assert {"hub_tfx", "hub_tfx_pipelines", "hub_tfx_kubeflow", "tfx"} <= packages
    assert packages.isdisjoint({"pytest", "_pytest", "mypy", "ruff", "hypothesis", "moto", "hera"})
    assert not [*PACKAGES.glob("__editable__*")]


def test_its_user_may_write_to_the_cache_and_what_tfx_writes_and_to_nothing_else(
    shared: Path,
) -> None:
    theirs, anyones = set(), set()
    for path in _files():
        status = path.lstat()
        if status.st_uid == NOBODY:
            theirs.add(f"/{path.relative_to(IMAGE)}")
        if status.st_mode & stat.S_IWOTH and not path.is_symlink():
            anyones.add(f"/{path.relative_to(IMAGE)}")
    assert theirs == {"/mlpipeline-ui-metadata.json", "/var/cache/hub-tfx"}
    assert anyones == {"/tmp"}


def test_it_is_of_this_tree_and_refers_to_nothing_outside(shared: Path) -> None:
    for source in ("hub_tfx", "pipelines", "kubeflow"):
        installed = PACKAGES / (source if source == "hub_tfx" else f"hub_tfx_{source}")
        for path in (ROOT / source).rglob("*.py"):
            copy = installed / path.relative_to(ROOT / source)
            assert copy.read_bytes() == path.read_bytes(), f"{path}: run `make image-root`"
    for path in _files():
        if path.is_symlink():
            target = os.readlink(path)
            inside = IMAGE / target[1:] if target.startswith("/") else path.parent / target
            assert inside.exists() or "share/man" in str(path), f"{path} -> {target}"
    for script in (VENV / "bin").iterdir():
        assert os.fsencode(ROOT) not in script.read_bytes()[:4096], script


def _files() -> list[Path]:
    found: list[Path] = []
    for folder, folders, files in os.walk(IMAGE):
        found += [Path(folder, name) for name in (*folders, *files)]
    return found
