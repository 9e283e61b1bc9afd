"""Aliases, yanks, cards and what finds a version; verify and gc."""

import logging
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from published import CARD, card, published

from hub_tfx.errors import ConfigError, DigestMismatchError, FetchError, InputError, TakenError
from hub_tfx.repository import records
from hub_tfx.repository.changes import correct_card, set_alias, set_yanked
from hub_tfx.repository.copying import copy
from hub_tfx.repository.garbage import collect_garbage
from hub_tfx.repository.layout import BLOBS, Version
from hub_tfx.repository.names import ModuleName, Reference
from hub_tfx.repository.storage import Storage, open_storage
from hub_tfx.repository.verify import verify
from hub_tfx.repository.versions import alias_key, aliases, card_text, find, modules, read_version
from hub_tfx.store.cache import ModuleCache

NAME = ModuleName("acme", "words")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a repository of three versions of one module."""
    for weights in (b"one", b"two", b"three"):
        published(tmp_path, tmp_path / "r", weights)
    return tmp_path


@pytest.fixture
def storage(folder: Path) -> Storage:
    return open_storage(folder / "r")


def number(storage: Storage, reference: str) -> int:
    return find(storage, Reference.parse(reference)).number


def resolve(folder: Path, reference: str) -> str:
    return ModuleCache(folder / "cache").resolve(f"repo+{folder}/r//{reference}").handle


def test_a_reference_is_a_number_an_alias_or_the_newest(storage: Storage) -> None:
    set_alias(storage, NAME, "stable", 2, "tried")
    assert number(storage, "acme/words/1") == 1
    assert number(storage, "acme/words@stable") == 2
    assert number(storage, "acme/words") == 3
    assert number(storage, "acme/words@latest") == 3


def test_an_alias_moves_and_its_moves_are_kept(storage: Storage) -> None:
    for to, why in ((1, "first"), (3, "better"), (3, "again"), (2, "back")):
        set_alias(storage, NAME, "stable", to, why, who="ann@here")
    history = records.history(storage, alias_key(NAME, "stable"))
    assert [(r.values["from"], r.values["to"], r.why) for r in history] == [
        (None, 1, "first"),
        (1, 3, "better"),
        (3, 2, "back"),
    ]
    assert {r.who for r in history} == {"ann@here"}
    assert aliases(storage, NAME) == {"stable": 2}


def test_moves_at_the_same_time_are_all_kept_in_one_order(storage: Storage) -> None:
    barrier = threading.Barrier(6)

    def move(mover: int) -> None:
        barrier.wait()
        set_alias(storage, NAME, "prod", mover % 3 + 1, f"by {mover}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(move, range(6)))
    history = records.history(storage, alias_key(NAME, "prod"))
    tos = [record.values["to"] for record in history]
    assert [record.values["from"] for record in history] == [None, *tos[:-1]]


def test_latest_cannot_be_set(storage: Storage, folder: Path) -> None:
    with pytest.raises(ConfigError, match="latest cannot be set"):
        set_alias(storage, NAME, "latest", 1, "no")
    with pytest.raises(ConfigError, match="latest cannot be set"):
        published(folder, folder / "r", b"four", aliases=["latest"])
    assert number(storage, "acme/words") == 3


def test_a_yanked_version_is_hidden_from_latest_and_may_come_back(storage: Storage) -> None:
    set_yanked(storage, NAME, 3, "wrong rows")
    assert number(storage, "acme/words") == 2
    assert number(storage, "acme/words/3") == 3
    set_yanked(storage, NAME, 3, "they were right", yanked=False)
    assert number(storage, "acme/words") == 3


def test_whoever_resolves_a_yanked_version_is_warned(
    storage: Storage, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_alias(storage, NAME, "stable", 3, "tried")
    set_yanked(storage, NAME, 3, "wrong rows", who="ann@here")
    with caplog.at_level(logging.WARNING, "hub_tfx"):
        resolve(folder, "acme/words/2")
        assert caplog.messages == []
        resolve(folder, "acme/words@stable")
    assert "acme/words/3 is yanked: wrong rows (ann@here); the alias stable still" in caplog.text


def test_no_alias_is_moved_to_a_yanked_version(storage: Storage) -> None:
    set_yanked(storage, NAME, 1, "wrong rows")
    with pytest.raises(ConfigError, match="acme/words/1 is yanked"):
        set_alias(storage, NAME, "stable", 1, "no")


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("acme/words/9", "has no version 9: it has 1, 2, 3"),
        ("acme/words@prod", "has no alias 'prod': use one of latest"),
        ("acme/wrods", "has no module acme/wrods: see `hub-tfx repo ls`"),
        ("acme/wrods@prod", "has no module acme/wrods"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(folder: Path, reference: str, why: str) -> None:
    with pytest.raises(FetchError, match=why) as error:
        resolve(folder, reference)
    assert str(error.value).startswith(f"repo+{folder}/r//{reference}: ")


def test_what_is_not_a_repository_is_said(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with pytest.raises(FetchError, match="is not a repository: check the path"):
        resolve(tmp_path, "acme/words")
    assert list((tmp_path / "r").iterdir()) == []


def test_a_repository_of_a_later_layout_is_left_alone(storage: Storage, folder: Path) -> None:
    (folder / "r" / "-" / "repository.json").unlink()
    storage.create("-/repository.json", b'{"layout": 2}')
    with pytest.raises(InputError, match="of layout 2, not 1"):
        number(storage, "acme/words")


def test_an_alias_is_a_number_before_anything_is_resolved(storage: Storage, folder: Path) -> None:
    set_alias(storage, NAME, "stable", 2, "tried")
    assert resolve(folder, "acme/words@stable") == f"repo+{folder}/r//acme/words/2"
    assert resolve(folder, "acme/words") == f"repo+{folder}/r//acme/words/3"


def test_a_name_in_another_case_is_refused(folder: Path) -> None:
    for name, known in (("acme/Words", "words"), ("ACME/other", "acme")):
        with pytest.raises(TakenError, match=f"has '{known}' already"):
            published(folder, folder / "r", b"one", name)
    assert published(folder, folder / "r", b"one", "acme/other").version == 1


def test_a_card_is_corrected_and_the_first_one_stays(storage: Storage, folder: Path) -> None:
    version = read_version(storage, NAME, 1)
    better = folder / "better.md"
    better.write_text(CARD.replace("Vectors", "Good vectors"))
    correct_card(storage, NAME, 1, better, "clearer")
    assert card_text(storage, version) == better.read_bytes()
    assert read_version(storage, NAME, 1) == version
    assert (folder / "r/acme/words/1/README.md").read_text() == CARD
    correct_card(storage, NAME, 1, card(folder), "as it was")
    assert card_text(storage, version).decode() == CARD


def test_a_version_goes_to_another_repository_as_it_is(storage: Storage, folder: Path) -> None:
    other = open_storage(folder / "other")
    assert copy(storage, other, NAME, 2)
    assert not copy(storage, other, NAME, 2)
    assert read_version(other, NAME, 2) == read_version(storage, NAME, 2)
    assert verify(other).damages == ()
    third = open_storage(folder / "third")
    published(folder, folder / "third", b"other bytes", version=2)
    with pytest.raises(TakenError, match="next free number is 3"):
        copy(storage, third, NAME, 2)


def test_a_damaged_version_does_not_go_to_another_repository(
    storage: Storage, folder: Path
) -> None:
    damage(folder / "r/acme/words/2/module/saved_model.pb")
    with pytest.raises(DigestMismatchError):
        copy(storage, open_storage(folder / "other"), NAME, 2)
    assert list(modules(open_storage(folder / "other"))) == []


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    "file", ["module/saved_model.pb", "module.tar.gz", "module.json", "README.md", "version.json"]
)
def test_verify_names_every_damaged_file(storage: Storage, folder: Path, file: str) -> None:
    assert verify(storage).damages == ()
    damage(folder / "r/acme/words/2" / file)
    assert [d.key for d in verify(storage).damages] == [f"acme/words/2/{file}"]
    assert [d.key for d in verify(storage, NAME).damages] == [f"acme/words/2/{file}"]
    assert verify(storage, ModuleName("acme", "other")).damages == ()


def test_verify_names_what_is_missing_and_what_does_not_belong(
    storage: Storage, folder: Path
) -> None:
    (folder / "r/acme/words/1/module.json").unlink()
    (folder / "r/acme/words/2/module/more").write_text("x")
    (folder / "r/acme/words/3/version.json").unlink()
    set_alias(storage, NAME, "stable", 2, "tried")
    (folder / "r/acme/words/-/aliases/stable/0001.json").unlink()
    storage.create("acme/words/-/aliases/stable/0001.json", b"{}")
    assert {d.key: d.what for d in verify(storage).damages} == {
        "acme/words/-/aliases/stable": f"{folder}/r: the record acme/words/-/aliases/stable/"
        "0001.json is damaged: copy it from elsewhere",
        "acme/words/1/module.json": "it is missing",
        "acme/words/2/module/more": "it does not belong there",
        "acme/words/3": "it has no version.json, so that it is not a version",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        '{"name": "../x"}',
        "old:../../../etc/passwd",
        "old:acme/other",
        "old:9",
        "a FIFO",
        "a directory",
    ],
    ids=lambda text: text[:30],
)
def test_a_marker_of_somebody_else_is_damage(storage: Storage, folder: Path, text: str) -> None:
    marker = folder / "r/acme/words/2/version.json"
    old = marker.read_text()
    marker.unlink()
    if text == "a FIFO":
        os.mkfifo(marker)
    elif text == "a directory":
        marker.mkdir()
    else:
        names = {"old:../../../etc/passwd": "saved_model.pb", "old:acme/other": "acme/words"}
        was = names.get(text, '"version": 2')
        new = '"version": 9' if text == "old:9" else text.removeprefix("old:")
        marker.write_text(old.replace(was, new) if text.startswith("old:") else text)
    assert [d.key for d in verify(storage).damages] == ["acme/words/2/version.json"]
    with pytest.raises((DigestMismatchError, FetchError), match=r"acme/words/2"):
        resolve(folder, "acme/words/2")
    assert resolve(folder, "acme/words/1").endswith("/1")


def test_damaged_bytes_are_never_resolved(folder: Path) -> None:
    damage(folder / "r/acme/words/2/module/variables/variables.index")
    with pytest.raises(DigestMismatchError, match="not those that were published"):
        resolve(folder, "acme/words/2")
    shutil.rmtree(folder / "r/acme/words/3/module")
    with pytest.raises(DigestMismatchError, match=r"words/3: the files .* is not a directory"):
        resolve(folder, "acme/words/3")
    assert not (folder / "cache").exists()


def test_a_damaged_blob_is_not_used_again(storage: Storage, folder: Path) -> None:
    sha256 = read_version(storage, NAME, 1).manifest.files[0].sha256
    damage(folder / "r" / BLOBS / sha256[:2] / sha256)
    made = published(folder, folder / "r", b"four")
    assert made.version == 4
    assert verify(storage).damages == ()


def test_garbage_goes_and_nothing_else_does(storage: Storage, folder: Path) -> None:
    left = folder / "r/-/work/0123/files"
    left.mkdir(parents=True)
    (left / "module.tar.gz").write_bytes(b"half")
    blob = folder / "r" / BLOBS / "ab" / ("ab" * 32)
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(b"orphan")
    before = verify(storage)
    planned = collect_garbage(storage, execute=False)
    assert dict(planned.files) == {"-/work/0123": 4, f"{BLOBS}/ab/{blob.name}": 6}
    assert blob.exists()
    assert collect_garbage(storage, execute=True) == planned
    assert not blob.exists()
    assert not left.exists()
    assert collect_garbage(storage, execute=True).files == ()
    assert verify(storage) == before


def test_fifty_versions_cost_their_differences(tmp_path: Path) -> None:
    from published import module

    from hub_tfx.module.resolved import ResolvedModule
    from hub_tfx.repository.publish import publish

    asset, text = b"words " * 50_000, card(tmp_path)
    for n in range(50):
        path = module(tmp_path / str(n), weights=str(n).encode()).path
        (path / "assets").mkdir()
        (path / "assets" / "words.txt").write_bytes(asset)
        made = ResolvedModule.of_directory(path)
        publish(made, tmp_path / "r", str(NAME), card=text, archive=False)
    storage = open_storage(tmp_path / "r")
    sizes = [size for _, size in storage.files(BLOBS)]
    assert sum(sizes) < len(asset) + 50 * 2000
    links = (tmp_path / "r/acme/words/50/module/assets/words.txt").stat().st_nlink
    assert links == 51


def test_a_marker_is_read_back(storage: Storage) -> None:
    version = read_version(storage, NAME, 2)
    assert Version.from_json(version.to_json().encode(), version.key) == version
