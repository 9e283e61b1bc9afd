"""Which fetcher serves which scheme, and what a local one refuses."""

import os
from pathlib import Path

import pytest

from hub_tfx.errors import HandleError, NotAModuleError, OutputError
from hub_tfx.module.handle import ModuleHandle
from hub_tfx.store.cache import ModuleCache
from hub_tfx.store.fetch import base, local
from hub_tfx.store.fetch.base import fetcher_for, register
from hub_tfx.store.fetch.http import HttpFetcher
from hub_tfx.store.fetch.local import LocalFetcher, copy_files
from hub_tfx.testing import FakeFetcher


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_fetchers", {})
    monkeypatch.setattr(base, "_made", {})


def test_every_scheme_has_its_fetcher() -> None:
    assert isinstance(fetcher_for(ModuleHandle.parse("/a")), LocalFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("http://h/a")), HttpFetcher)
    assert isinstance(fetcher_for(ModuleHandle.parse("HTTPS://h/a")), HttpFetcher)


@pytest.mark.parametrize(
    ("handle", "name"),
    [
        ("gs://bucket/module", "BucketFetcher"),
        ("s3://bucket/module.tar.gz", "BucketFetcher"),
        ("az://container/module", "BucketFetcher"),
        ("abfss://container@account.dfs.core.windows.net/module", "BucketFetcher"),
        ("hdfs://namenode:8020/module", "BucketFetcher"),
        ("hf://acme/words@main", "HuggingFaceFetcher"),
        ("https://huggingface.co/acme/words/tree/main/model", "HuggingFaceFetcher"),
        ("https://huggingface.co/acme/words/resolve/main/m.tar.gz", "HttpFetcher"),
        ("https://www.kaggle.com/models/acme/words/tensorFlow2/base/2", "KaggleFetcher"),
        ("https://www.kaggle.com/datasets/acme/words", "HttpFetcher"),
        ("https://tfhub.dev/google/universal-sentence-encoder/4", "HttpFetcher"),
    ],
)
def test_a_handle_leads_to_the_fetcher_of_its_kind(handle: str, name: str) -> None:
    assert type(fetcher_for(ModuleHandle.parse(handle))).__name__ == name


def test_a_scheme_can_be_added_and_replaced(module_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(
        HandleError, match=r"fake:// handles: use one of abfs, .*file, .*http, https,"
    ):
        fetcher_for(ModuleHandle.parse("fake://h/a"))
    fetcher = FakeFetcher({"fake://h/a": module_dir, "https://h/a": module_dir})
    register(("fake", "HTTPS"), fetcher)
    assert ModuleCache(tmp_path / "cache").resolve("fake://h/a").size_bytes > 0
    assert ModuleCache(tmp_path / "cache").resolve("https://h/a").size_bytes > 0
    assert len(fetcher.calls) == 2
    register("other", fetcher)
    with pytest.raises(HandleError, match=r"az, fake, file, .*, https, other, repo"):
        fetcher_for(ModuleHandle.parse("unknown://h/a"))


def odd(path: Path, kind: str) -> None:
    match kind:
        case "a link to a file":
            path.symlink_to("/etc/passwd")
        case "a link to a directory":
            path.symlink_to("/etc")
        case "a link to nothing":
            path.symlink_to("/nowhere")
        case "a FIFO":
            os.mkfifo(path)


@pytest.mark.parametrize(
    "kind", ["a link to a file", "a link to a directory", "a link to nothing", "a FIFO"]
)
@pytest.mark.parametrize("folder", ["", "variables"])
def test_the_copy_of_a_directory_follows_no_link(
    kind: str, folder: str, module_dir: Path, tmp_path: Path
) -> None:
    """By itself: the manifest of a module refuses links too, but may look before one is put there.

    So the fetcher is called by itself here.
    """
    odd(module_dir / folder / "odd", kind)
    into = tmp_path / "work" / "module"
    into.mkdir(parents=True)
    with pytest.raises(NotAModuleError, match=r"odd is not a regular file.*cp -rL"):
        LocalFetcher().fetch(ModuleHandle.parse(str(module_dir)), into)
    assert not [path for path in into.rglob("*") if path.name == "odd"]


def test_a_directory_that_is_swapped_for_a_link_during_the_copy_is_not_followed(
    module_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "id_rsa").write_text("s3cret")
    (tmp_path / "into").mkdir()
    listed = local._listed

    def swapped(folder: int, source: Path) -> list[tuple[str, bool]]:
        names = listed(folder, source)
        if source == module_dir:
            (module_dir / "variables").rename(module_dir / "moved")
            (module_dir / "variables").symlink_to(tmp_path / "secret")
        return names

    monkeypatch.setattr(local, "_listed", swapped)
    with pytest.raises(NotAModuleError, match="variables is not a regular file"):
        copy_files(module_dir, tmp_path / "into")
    assert not [*(tmp_path / "into").rglob("id_rsa")]


def test_a_copy_is_written_to_fresh_names_only(module_dir: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "saved_model.pb").symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_text("mine")
    with pytest.raises(OutputError, match=r"saved_model\.pb cannot be written: File exists"):
        copy_files(module_dir, into)
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_directory_that_is_not_a_module_is_not_copied(tmp_path: Path) -> None:
    for name in ("empty", "into"):
        (tmp_path / name).mkdir()
    with pytest.raises(NotAModuleError, match="empty is not a module"):
        LocalFetcher().fetch(ModuleHandle.parse(str(tmp_path / "empty")), tmp_path / "into")
