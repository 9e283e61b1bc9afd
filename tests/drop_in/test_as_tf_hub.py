"""What TF Hub promises its callers, with our resolver in front; and what we refuse on purpose.

These are behaviours that TF Hub tests of its own resolvers; docs/drop-in.md has both lists.
"""

import io
import os
import re
import tarfile
import threading
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_hub as hub
from absl import flags

from hub_tfx.errors import HubTfxError, NotAModuleError, RefusedError, UnsafeArchiveError
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import serve, text_module

pytestmark = pytest.mark.usefixtures("installed")
Names = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("modules")
    return {name: text_module(root / name, name, dim=2) for name in ("saved_model", "tf1_hub")}


def packed(path: Path, members: Names, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            is_folder = name in ("", ".") or name.endswith("/")
            info.type = tarfile.DIRTYPE if is_folder else tarfile.REGTYPE
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def members_of(source: Path) -> Names:
    files = (path for path in source.rglob("*") if path.is_file())
    return [(path.relative_to(source).as_posix(), path.read_bytes()) for path in files]


# --- Promises of TF Hub ---------------------------------------------------------------------------


def test_a_tf2_module_is_loaded_from_its_url(modules: dict[str, Path]) -> None:
    with serve({"/acme/text/1": modules["saved_model"]}) as url:
        loaded = hub.load(f"{url}/acme/text/1")
        layer = hub.KerasLayer(f"{url}/acme/text/1")
    text = tf.constant(["a"])
    assert loaded(text).shape == layer(text).shape == (1, 2)


def test_a_tf1_module_is_loaded_from_its_url(modules: dict[str, Path]) -> None:
    with serve({"/acme/text/1": modules["tf1_hub"]}) as url, tf.Graph().as_default():
        assert hub.Module(f"{url}/acme/text/1")(["a"]).shape.as_list() == [1, 2]
        assert hub.load_module_spec(f"{url}/acme/text/1").get_signature_names()


@pytest.mark.parametrize(("ending", "mode"), [(".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz")])
def test_archives_by_their_endings(ending: str, mode: str, source: Path, tmp_path: Path) -> None:
    archive = packed(tmp_path / f"m{ending}", members_of(source), mode)
    with serve({f"/m{ending}": archive}) as url:
        assert Manifest.of_directory(hub.resolve(f"{url}/m{ending}")).files


@pytest.mark.parametrize("root", ["", ".", "./"])
def test_an_archive_may_name_its_own_root(root: str, source: Path, tmp_path: Path) -> None:
    archive = packed(tmp_path / "m.tar", [(root, b""), ("assets/", b""), *members_of(source)])
    with serve({"/m.tar": archive}) as url:
        assert Path(hub.resolve(f"{url}/m.tar"), "saved_model.pb").is_file()


def test_a_module_is_downloaded_once(source: Path) -> None:
    with serve({"/acme/text/1": source}) as url:
        first = hub.resolve(f"{url}/acme/text/1")
    before = {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")}
    assert hub.resolve(f"{url}/acme/text/1") == first
    assert {path: path.stat().st_mtime_ns for path in Path(first).rglob("*")} == before


def test_threads_that_ask_at_once_get_the_same(source: Path) -> None:
    paths: list[str] = []
    with serve({"/acme/text/1": source}) as url:
        ask: Callable[[], None] = lambda: paths.append(hub.resolve(f"{url}/acme/text/1"))  # noqa: E731
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(paths) == 4
    assert len(set(paths)) == 1


def test_what_tf_hub_left_in_the_folder_does_not_delay(source: Path, cache_dir: Path) -> None:
    with serve({"/m.tar.gz": source}) as url:
        name = sha1(f"{url}/m.tar.gz".encode()).hexdigest()
        cache_dir.mkdir()
        (cache_dir / f"{name}.lock").write_text("host.1.task")
        (cache_dir / f"{name}.task.tmp").mkdir()
        assert hub.resolve(f"{url}/m.tar.gz")
    assert (cache_dir / f"{name}.lock").exists()


def test_where_the_cache_is_is_asked_each_time(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = flags.FLAGS["tfhub_cache_dir"]
    monkeypatch.setattr(flag, "_value", str(tmp_path / "flag"))
    with serve({"/m": source}) as url:
        for setting, place in [
            (str(tmp_path / "variable"), "variable"),
            (f"file://{tmp_path}/as%20url", "as%20url"),
            ("", "flag"),
        ]:
            monkeypatch.setenv("TFHUB_CACHE_DIR", setting)
            assert Path(hub.resolve(f"{url}/m")).is_relative_to(tmp_path / place)


def test_a_path_is_itself(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.parent)
    for path in (str(source), "source", "./source/"):
        assert hub.resolve(path) == path
    with pytest.raises(OSError, match="does not exist"):
        hub.resolve("missing")


def test_what_fails_is_what_callers_of_tf_hub_catch(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<html>")
    link = tarfile.TarInfo("saved_model.pb")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as tar:
        tar.addfile(link)
    served = {"/page": tmp_path / "page", "/link.tar": tmp_path / "link.tar"}
    with serve(served) as url:
        for handle in (f"{url}/missing", f"{url}/page", f"{url}/link.tar", "http://a b/"):
            for kind in (OSError, ValueError, HubTfxError):
                with pytest.raises(kind) as caught:
                    hub.resolve(handle)
            assert str(caught.value)
            assert "(" not in str(caught.value)[:1]


def test_a_server_that_names_no_bucket_has_nothing_uncompressed(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it names one, tests/store/test_http.py has what becomes of it."""
    monkeypatch.setenv("TFHUB_MODEL_LOAD_FORMAT", "UNCOMPRESSED")
    with serve({"/m": source}) as url, pytest.raises(ValueError, match="no gs:// directory"):
        hub.resolve(f"{url}/m")


# --- Refused on purpose ---------------------------------------------------------------------------


def test_what_is_not_a_module_is_refused(tmp_path: Path) -> None:
    archive = packed(tmp_path / "m.tar", [("file1", b"1")])
    with serve({"/m.tar": archive}) as url, pytest.raises(NotAModuleError):
        hub.resolve(f"{url}/m.tar")


@pytest.mark.parametrize("name", ["assets/../saved_model.pb", "/saved_model.pb"])
def test_names_that_tf_hub_would_normalise_are_refused(name: str, tmp_path: Path) -> None:
    archive = packed(tmp_path / "m.tar", [(name, b"")])
    with serve({"/m.tar": archive}) as url, pytest.raises(UnsafeArchiveError):
        hub.resolve(f"{url}/m.tar")


def test_no_descriptor_is_written(source: Path, cache_dir: Path) -> None:
    with serve({"/m.tar.gz": source}) as url:
        hub.resolve(f"{url}/m.tar.gz?token=s3cret")
    texts = [path.read_bytes() for path in cache_dir.rglob("*") if path.is_file()]
    assert not any(b"s3cret" in text for text in texts)
    assert not [*cache_dir.rglob("*.descriptor.txt")]


def test_without_a_cache_dir_it_is_the_users_own_and_not_the_temporary_folder(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with serve({"/m": source}) as url:
        assert Path(hub.resolve(f"{url}/m")).is_relative_to(tmp_path / "xdg")


def test_certificates_are_always_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_DISABLE_CERT_VALIDATION", "true")
    with pytest.raises(RefusedError, match="TFHUB_DISABLE_CERT_VALIDATION is set"):
        hub.resolve("https://localhost:1/m")


def test_a_cache_in_a_bucket_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", "gs://bucket/cache")
    with serve({"/m": source}) as url, pytest.raises(HubTfxError, match="not a local directory"):
        hub.resolve(f"{url}/m")
    assert os.listdir(source)


def test_the_page_names_every_test() -> None:
    page = (Path(__file__).parents[2] / "docs" / "drop-in.md").read_text()
    named = set(re.findall(r"`(test_[a-z0-9_]+)`", page))
    assert named == {name for name in globals() if name.startswith("test_")} - {
        "test_the_page_names_every_test"
    }
