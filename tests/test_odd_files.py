"""Where a file is expected there may be a FIFO, a device, a directory, or a name that is not UTF-8.

One clear error then, for every input, and nothing waits.
"""

import ast
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import hub_tfx
from hub_tfx._files import odd_name, open_regular
from hub_tfx.cli.main import run
from hub_tfx.errors import CardError, HubTfxError, InputError, NotAModuleError, OutputError
from hub_tfx.module.check import check
from hub_tfx.module.inspect import inspect
from hub_tfx.module.manifest import Manifest
from hub_tfx.module.vectors import read_word_vectors
from hub_tfx.repository.card import read_card
from hub_tfx.repository.card_import import import_card
from hub_tfx.store.archive import unpack
from hub_tfx.store.cache import ModuleCache
from hub_tfx.testing import minimal_module

KINDS = ["a FIFO", "a device", "a directory"]
ODD = "caf\udce9"
"""What Python makes of the byte E9 in the name of a file."""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Ends a test that waits, for a FIFO or for the end of a device."""

    def late(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(kind: str, path: Path) -> Path:
    """Puts something odd in the place of a file."""
    if path.exists():
        path.unlink()
    match kind:
        case "a FIFO":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case "a directory":
            path.mkdir()
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"it is {kind}, not a file"):
        open_regular(put(kind, tmp_path / "odd"))
    (tmp_path / "file").write_bytes(b"content")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert open_regular(tmp_path / "link").read() == b"content"
    with pytest.raises(OSError, match="symbolic link"):
        open_regular(tmp_path / "link", follow_link=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt", "tfhub_module.pb"])
def test_a_module_whose_files_are_odd(kind: str, name: str, tmp_path: Path) -> None:
    module = minimal_module(tmp_path / "module")
    if name == "saved_model.pbtxt":
        (module / "saved_model.pb").unlink()
    put(kind, module / name)
    for use in (inspect, check, lambda path: ModuleCache().resolve(str(path))):
        with pytest.raises(NotAModuleError, match=r"module"):
            use(module)


@pytest.mark.parametrize("kind", KINDS)
def test_word_vectors_and_archives_that_are_odd(kind: str, tmp_path: Path) -> None:
    odd = put(kind, tmp_path / "odd.tar")
    with pytest.raises(InputError, match=f"odd.tar: cannot be read: it is {kind}, not a file"):
        read_word_vectors(odd)
    with pytest.raises(InputError, match=f"cannot be read: it is {kind}, not a file"):
        unpack(odd, tmp_path / "into")


@pytest.mark.parametrize("kind", KINDS)
def test_cards_that_are_odd(kind: str, tmp_path: Path) -> None:
    odd = put(kind, tmp_path / "README.md")
    for read in (read_card, import_card):
        with pytest.raises(CardError, match=f"README.md: cannot be read: it is {kind}, not a file"):
            read(odd)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["manifest", "spec", "record"])
def test_a_cache_whose_files_are_odd(kind: str, place: str, tmp_path: Path) -> None:
    module = minimal_module(tmp_path / "module")
    resolved = ModuleCache().resolve(str(module))
    entry = resolved.path.parent
    records = tmp_path / "cache" / "hub_tfx" / "handles"
    pattern = {"manifest": (entry, "manifest.json"), "spec": (entry, "spec*.json")}
    folder, name = pattern.get(place, (records, "*.json"))
    put(kind, next(folder.glob(name)))
    assert ModuleCache().resolve(str(module)).digest == resolved.digest


@pytest.mark.parametrize("kind", KINDS)
def test_an_earlier_output_whose_manifest_is_odd(kind: str, tmp_path: Path) -> None:
    from hub_tfx.embed.output.directory import output_directory
    from hub_tfx.embed.output.layout import OutputLayout, committed_outputs

    output = tmp_path / "out"
    output.mkdir()
    put(kind, output / "manifest.json")
    with pytest.raises(InputError, match=f"cannot be read.*it is {kind}, not a file"):
        committed_outputs(str(output))
    layout = OutputLayout.of_directory(str(output), "parquet")
    with (
        pytest.raises(OutputError, match="hub-tfx did not write"),
        output_directory(str(output), layout, "run"),
    ):
        pass


def not_utf8_calls(folder: Path) -> dict[str, Callable[[], object]]:
    from hub_tfx.data.files import find_files
    from hub_tfx.embed.output.directory import output_directory
    from hub_tfx.embed.output.layout import OutputLayout, committed_outputs
    from hub_tfx.module.create.export import check_is_free

    module = minimal_module(folder / ODD / "module")
    inside = minimal_module(folder / "inside")
    (inside / "assets").mkdir()
    (inside / "assets" / ODD).write_text("x")
    (folder / f"{ODD}.csv").write_text("x\n1\n")
    output = str(folder / ODD / "out")

    def write() -> None:
        with output_directory(output, OutputLayout.of_directory(output, "parquet"), "run"):
            raise AssertionError("it was not refused")

    return {
        "module": lambda: ModuleCache(folder / "cache").resolve(str(module)),
        "file of a module": lambda: Manifest.of_directory(inside),
        "cache": lambda: ModuleCache(folder / ODD),
        "input": lambda: find_files([str(folder / f"{ODD}.csv")]),
        "folder of inputs": lambda: find_files([str(folder / "*.csv")]),
        "output": write,
        "earlier output": lambda: committed_outputs(output),
        "new module": lambda: check_is_free(output),
    }


WHERE = (
    "module, file of a module, cache, input, folder of inputs, output, earlier output, new module"
)


@pytest.mark.parametrize("what", [*WHERE.split(", "), "new module"])
def test_a_name_that_is_not_utf_8_is_refused_by_name(what: str, tmp_path: Path) -> None:
    with pytest.raises(HubTfxError, match=r"UTF-8") as refused:
        not_utf8_calls(tmp_path)[what]()
    assert re.search(r"caf(\\xe9|\\udce9)", str(refused.value))
    str(refused.value).encode()


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", ODD],
        ["inspect", ODD],
        ["check", ODD],
        ["embed", "--module", "m", "--input", f"{ODD}.csv", "--output", "o"],
        ["embed", "--module", "m", "--input", "a.csv", "--output", ODD],
        ["embed", "--module", "m", "--input", "a.csv", "--output", "o", "--previous", ODD],
        ["card", "init", ODD],
        ["card", "check", ODD],
        ["card", "import", ODD],
        ["diff", ODD, ODD],
        ["create", "text-embedding", "--vectors", ODD, "--output", "o"],
        ["create", "module", "--module-fn", f"m:{ODD}", "--output", "o"],
        ["fine-tune", "--module", "m", "--input", ODD, "--label", "y", "--output", "o"],
        ["evaluate", "--module", "m", "--input", ODD, "--label", "y", "--output", "o"],
        ["evaluate", "--module", "m", "--baseline", ODD, "--input", "a", "--output", "o"],
        ["lineage", ODD, "--metadata", "m"],
        ["lineage", "ab", "--metadata", ODD],
        ["run", "embed", "--module", ODD],
        [ODD],
    ],
)
def test_every_command_says_so_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("hub-tfx: error: ")
    assert r"caf\xe9" in err
    assert "UTF-8" in err


def test_names_that_are_utf_8_are_not_odd() -> None:
    assert odd_name("/a/café/日本 \x1b") is None
    assert odd_name(Path(f"/a/{ODD}")) == r"/a/caf\xe9"
    assert odd_name("a\ud800") is not None


OWN = {
    "store/leases.py": "opens files of the cache to lock them, without waiting or following links",
    "_files.py": "is where it is done",
    "_lock.py": "makes the file that it locks, and reads nothing",
    "data/filesystems.py": "reads what a job of ours has made, to upload it",
    "finetune/deliver.py": "reads what the training before has written",
    "finetune/saved_model/trainer.py": "reads what the training before has written",
    "finetune/saved_model/tunable.py": "reads the copy that it has made",
    "finetune/tf1_hub/evaluations.py": "reads what the training before has written",
    "module/child.py": "reads the answer of its child",
    "module/code_digest.py": "reads the source of code that is imported already",
    "module/create/export.py": "reads the module that it has made",
    "module/ops.py": "reads a file that hub_tfx comes with",
    "module/process.py": "reads what the system says of its cores",
    "module/vector_files.py": "opens the member of an archive that is open",
    "repository/local.py": "opens its own folder to lock it, and reads no file",
    "repository/buckets.py": "opens an object of a store",
    "repository/signing.py": "reads the signature that it has made",
    "web/pages/static.py": "reads what is a part of the package",
    "web/protocol.py": "asks the repository, which opens by ``open_regular``",
    "store/lock_file.py": "opens the folder that it locks",
    "store/fetch/buckets.py": "opens objects of a bucket",
    "store/fetch/local.py": "opens directories, whose files it opens in that way",
}
READING = {"read_bytes", "read_text", "open"}


def test_files_of_others_are_opened_in_one_way() -> None:
    """A file of the package that opens files to read, but not by ``open_regular``, says why."""
    root = Path(hub_tfx.__file__).parent
    found = set()
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _reads(node):
                found.add(path.relative_to(root).as_posix())
    assert {name for name in found if not name.startswith("testing/")} == OWN.keys()


def _reads(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", "open" if getattr(call.func, "id", "") == "open" else "")
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    is_writing = any(set(mode) & set("wxa") for mode in modes if len(mode) <= 3)
    of_os = ast.unparse(call.func) == "os.open" and "O_WRONLY" in ast.unparse(call)
    is_tar = ast.unparse(call.func).startswith(("tarfile.", "Catalogue."))
    flags = any(ast.unparse(argument) == "flags" for argument in call.args)
    return name in READING and not (is_writing or of_os or is_tar or (flags and name == "open"))
