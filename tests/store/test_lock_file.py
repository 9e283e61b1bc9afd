"""The lock file: what is written, what is refused, and that handles stay what they were."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.cli.main import run
from hub_tfx.errors import ConfigError, ConfigFileError, DigestMismatchError, HandleError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.module.manifest import Manifest
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.lock_file import Locked, LockFile, add_to_lock_file, resolve_and_lock
from hub_tfx.testing import FakeFetcher, minimal_module

URL = "https://hub.test/acme/text/1"
A, B = "a" * 64, "b" * 64


@pytest.fixture
def other(tmp_path: Path) -> Path:
    module = minimal_module(tmp_path / "other")
    (module / "assets").mkdir()
    (module / "assets" / "new.txt").write_text("new")
    return module


@pytest.fixture
def cache(tmp_path: Path, module_dir: Path) -> ModuleCache:
    return ModuleCache(tmp_path / "cache", fetcher=FakeFetcher({URL: module_dir}))


segments = st.text("abcXYZ019._-é…", min_size=1, max_size=8)
handles = st.builds(
    lambda host, path, query: str(ModuleHandle.parse(f"https://{host}/{'/'.join(path)}{query}")),
    st.from_regex(r"[a-z]{1,8}(:[1-9][0-9]{1,3})?", fullmatch=True),
    st.lists(segments, min_size=1, max_size=3),
    st.sampled_from(["", "?token=secret", "?a=1&b=2", "?x"]),
)
digests = st.integers(0, 16**64 - 1).map(lambda n: f"{n:064x}")


@given(st.dictionaries(handles, st.builds(Locked, digests, st.none() | handles), max_size=5))
def test_what_is_written_is_read(modules: dict[str, Locked]) -> None:
    lock = LockFile(modules, "x.json")
    assert LockFile.parse(lock.to_json(), "x.json") == lock
    assert lock.digests == {locked.digest for locked in modules.values()}
    assert "secret" not in lock.to_json()


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_other_text_is_one_error_with_a_line(text: str) -> None:
    with pytest.raises(ConfigFileError, match=r"\Ax\.json:\d+: "):
        LockFile.parse(text, "x.json")


def entry(**values: object) -> str:
    return json.dumps({"version": 1, "modules": {URL: {"digest": A, **values}}}, indent=2)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "it is not JSON"),
        ('{\n"version": 1,\n}', 3, "it is not JSON"),
        ("[]", 1, "not an object with the keys"),
        ("[" * 100_000, 1, "without end"),
        ("9" * 10_000, 1, "it is not"),
        ('{"modules": {}}', 1, "version is not 1"),
        ('{"modules": {},\n"version": 2}', 2, "version is not 1"),
        ('{"modules": {},\n"version": true}', 2, "version is not 1"),
        ('{"version": 1}', 1, "modules is not an object"),
        ('{"version": 1, "modules": {},\n"extra": 1}', 2, "no key 'extra'"),
        ('{"version": 1, "modules": {\n"/a": 1,\n"/a": 2}}', 2, "is there twice"),
        (entry(size=1), 6, "no key 'size'"),
        (entry(digest="A" * 64), 4, "not 64 hex digits"),
        (entry(digest=None), 4, "not 64 hex digits"),
        (entry(resolved=1), 4, "a resolved that is not a handle"),
        (entry(resolved="models/text"), 4, "written in another way"),
        (entry().replace(URL, ""), 4, "the module handle is empty"),
        (entry().replace(URL, "models/text"), 4, "written in another way"),
        (entry().replace(URL, "https://joe:hunter2@hub.test/x?sig=hunter2"), 4, "a credential"),
        (json.dumps({"version": 1, "modules": {URL: A}}), 1, "not an object with the key digest"),
    ],
)
def test_what_is_not_a_lock_file_is_told_with_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        LockFile.parse(text, "x.json")
    [problem] = caught.value.problems
    assert problem.startswith(f"x.json:{line}: ")
    assert why in problem
    assert "hunter2" not in problem


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigFileError, match=r"cannot be read: .*--lock"):
            LockFile.read(path)
    (tmp_path / "latin").write_bytes(b'{"version": 1,\n"modules": "\xe9"}')
    with pytest.raises(ConfigFileError, match=r"latin:2: it is not UTF-8"):
        LockFile.read(tmp_path / "latin")
    with pytest.raises(ConfigFileError, match="cannot be read"):
        LockFile.read("a\0b")


def test_a_handle_that_is_not_named_is_refused() -> None:
    lock = LockFile({URL: Locked(A)}, "x.json")
    assert lock.pin(URL) == (ModuleHandle.parse(URL), A)
    assert lock.pin(URL, A) == lock.pin(URL)
    with pytest.raises(ConfigError, match=r"/acme/other is not in the lock file x\.json"):
        lock.pin("https://hub.test/acme/other")
    with pytest.raises(ConfigError, match="is given, but the lock file"):
        lock.pin(URL, B)
    with pytest.raises(HandleError):
        lock.pin("")


def test_credentials_are_not_written_and_need_not_be_the_same(
    tmp_path: Path, module_dir: Path
) -> None:
    signed = ["https://joe:pw@hub.test/m.tar?sig=one", "https://hub.test/m.tar?sig=two"]
    cache = ModuleCache(tmp_path / "cache", fetcher=FakeFetcher(dict.fromkeys(signed, module_dir)))
    path = tmp_path / "x.json"
    resolve_and_lock(cache, signed[:1], path)
    assert list(LockFile.read(path).modules) == ["https://hub.test/m.tar?sig=…"]
    assert not any(secret in path.read_text() for secret in ("joe", "pw", "one"))
    assert LockFile.read(path).resolve(cache, signed[1]).cache_hit


def test_two_handles_that_differ_in_a_credential_only_are_not_confused(
    tmp_path: Path, module_dir: Path, other: Path
) -> None:
    two = {"https://hub.test/m?id=1": module_dir, "https://hub.test/m?id=2": other}
    cache = ModuleCache(tmp_path / "cache", fetcher=FakeFetcher(two))
    with pytest.raises(ConfigError, match="stand for two modules"):
        resolve_and_lock(cache, list(two), tmp_path / "x.json")
    assert not (tmp_path / "x.json").exists()


def test_new_bytes_under_a_locked_handle_are_refused_until_they_are_asked_for(
    tmp_path: Path, cache: ModuleCache, module_dir: Path, other: Path
) -> None:
    path = tmp_path / "x.json"
    [first] = resolve_and_lock(cache, [URL], path)
    elsewhere = ModuleCache(tmp_path / "elsewhere", fetcher=FakeFetcher({URL: other}))
    before = path.read_bytes()
    with pytest.raises(DigestMismatchError, match="is pinned"):
        resolve_and_lock(elsewhere, [URL], path)
    with pytest.raises(DigestMismatchError, match="is pinned"):
        LockFile.read(path).resolve(elsewhere, URL)
    assert path.read_bytes() == before
    [second] = resolve_and_lock(elsewhere, [URL], path, refresh=True)
    assert LockFile.read(path).modules == {URL: Locked(second.digest)}
    assert second.digest == Manifest.of_directory(other).digest != first.digest


def test_what_the_file_names_already_stays_and_a_damaged_file_is_not_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.json"
    add_to_lock_file(path, {"https://b.test": Locked(B)})
    add_to_lock_file(path, {"/a": Locked(A)})
    assert list(LockFile.read(path).modules) == ["/a", "https://b.test"]
    path.write_text("damaged")
    with pytest.raises(ConfigFileError, match="not JSON"):
        add_to_lock_file(path, {"/c": Locked(A)})
    assert path.read_text() == "damaged"


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    threads = [
        threading.Thread(target=add_to_lock_file, args=(path, {f"/m{n}": Locked(A)}))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(LockFile.read(path).modules) == {f"/m{n}" for n in range(16)}
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_the_command_locks_and_obeys(
    tmp_path: Path,
    module_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    lock, second = str(tmp_path / "x.json"), shutil.copytree(module_dir, tmp_path / "second")
    assert run(["resolve", str(module_dir), str(second), "--lock", lock, "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert [document["handle"] for document in both] == [str(module_dir), str(second)]
    assert set(LockFile.read(lock).modules) == {str(module_dir), str(second)}
    assert run(["resolve", str(second), "--locked", lock, "-q"]) == 0
    (second / "assets").mkdir()
    (second / "assets" / "new.txt").write_text("new")
    assert run(["resolve", str(second), "--locked", lock, "-q"]) == 0  # It is in the cache.
    elsewhere = str(tmp_path / "elsewhere")
    assert run(["resolve", str(second), "--locked", lock, "--cache-dir", elsewhere]) == 5
    assert run(["resolve", "/etc", "--locked", lock]) == 2
    assert "/etc is not in the lock file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["/a", "/b", "--sha256", A], "give one handle"),
        (["/a", "--lock", "x", "--locked", "y"], "give one of the two"),
        (["/a", "--refresh", "--locked", "y"], "refuse them"),
        (["/a", "--refresh", "--sha256", A], "refuse them"),
        (["/a", "--locked", "y", "--sha256", A], "leave --sha256 out"),
        (["/a", "--locked", "/no/such/file"], "cannot be read"),
        (["/etc", "--lock", "/no/such/folder/x"], "not a module"),
    ],
)
def test_options_that_contradict_each_other(
    options: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["resolve", *options]) in (1, 2)
    assert why in capsys.readouterr().err
