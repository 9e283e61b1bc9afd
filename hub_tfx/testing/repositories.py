"""What every storage of a repository promises, as tests: see ``hub_tfx.repository.storage``.

A storage of your own is tested by a subclass, which pytest collects::

    from hub_tfx.testing.repositories import StorageContract

    class TestMyStorage(StorageContract):
        @pytest.fixture
        def storage(self, tmp_path):
            return MyStorage(str(tmp_path))
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.manifest import FileEntry, Manifest, hash_file
from hub_tfx.repository import layout
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.storage import Content, Storage
from hub_tfx.testing.modules import minimal_module

NAME = ModuleName("acme", "words")
_RACERS = 8


def draft(folder: Path, text: str, number: int = 1) -> tuple[Version, Content]:
    """A version that can be committed, with a file of this text, and its content."""
    module = minimal_module(folder / "module")
    (module / "assets").mkdir()
    (module / "assets" / "text").write_text(text)
    card = folder / layout.CARD
    card.write_text(f"# {text}\n")
    manifest = Manifest.of_directory(module)
    beside = (FileEntry(layout.CARD, *hash_file(card)),)
    content = {f"{layout.MODULE}/{e.path}": module / e.path for e in manifest.files}
    version = Version(NAME, number, manifest, beside, "ann@here", "2026-01-01T00:00:00+00:00")
    return version, {**content, layout.CARD: card}


class StorageContract:
    """The suite."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        """The storage under test, of a repository in which nothing is yet."""
        raise NotImplementedError

    @pytest.fixture
    def folders(self, tmp_path: Path) -> Callable[[], Path]:
        """Gives a new folder at each call."""
        made = iter(range(1000))

        def new() -> Path:
            folder = tmp_path / f"draft-{next(made)}"
            folder.mkdir()
            return folder

        return new

    def test_what_is_not_there_is_none_and_has_no_names(self, storage: Storage) -> None:
        assert storage.read("acme/words/1/version.json") is None
        assert storage.open("acme/words/1/module.tar.gz") is None
        assert storage.names("") == []
        assert storage.names("acme/words") == []
        assert list(storage.files("")) == []

    def test_a_file_is_created_once(self, storage: Storage) -> None:
        assert storage.create("a/b/1.json", b"one")
        assert not storage.create("a/b/1.json", b"two")
        assert storage.read("a/b/1.json") == b"one"

    def test_a_file_is_read_from_any_position(self, storage: Storage) -> None:
        storage.create("a/b/1.json", b"0123456789")
        file = storage.open("a/b/1.json")
        assert file is not None
        with file:
            file.seek(7)
            assert file.read(2) == b"78"
            file.seek(1)
            assert file.read(3) == b"123"

    def test_names_are_those_directly_below_a_folder(self, storage: Storage) -> None:
        for key in ("a/b/1.json", "a/b/2.json", "a/c/d/1.json", "ab/1.json"):
            storage.create(key, b"x")
        assert storage.names("a") == ["b", "c"]
        assert storage.names("a/b") == ["1.json", "2.json"]
        assert {key for key, _ in storage.files("a")} == {
            "a/b/1.json",
            "a/b/2.json",
            "a/c/d/1.json",
        }

    def test_stamps_are_of_markers_and_records(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        assert list(storage.stamps()) == []
        _commit(storage, version, content)
        record = "acme/words/-/yanks/1/0001.json"
        storage.create(record, b"{}")
        assert {key for key, _ in storage.stamps()} == {"acme/words/1/version.json", record}
        assert dict(storage.stamps()) == dict(storage.stamps())

    def test_of_several_creators_one_is_first(self, storage: Storage) -> None:
        for race in range(3):

            def create(racer: int, race: int = race) -> bool:
                return storage.create(f"races/{race}.json", str(racer).encode())

            won = _at_once(create, range(_RACERS))
            assert won.count(True) == 1
            assert storage.read(f"races/{race}.json") == str(won.index(True)).encode()

    def test_a_file_is_brought_over_what_is_there(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "one").write_bytes(b"one")
        (tmp_path / "two").write_bytes(b"two")
        assert storage.put("a/b/file", str(tmp_path / "one"))
        assert storage.put("a/b/file", str(tmp_path / "two"))
        assert storage.read("a/b/file") == b"two"
        assert (tmp_path / "one").read_bytes() == b"one"
        assert not storage.put("a/b/file", "unknown://place/file")

    def test_a_file_is_replaced_until_there_is_nothing_to_change(self, storage: Storage) -> None:
        seen = list[bytes | None]()

        def change(before: bytes | None) -> bytes | None:
            seen.append(before)
            return None if before == b"new" else b"new"

        storage.replace("latest.json", change)
        assert seen[0] is None
        assert storage.read("latest.json") == b"new"
        storage.replace("latest.json", change)
        assert seen[-1] == b"new"

    def test_of_several_that_replace_a_file_by_what_is_highest_the_last_one_does(
        self, storage: Storage
    ) -> None:
        def highest(old: bytes | None) -> bytes | None:
            number = max(storage.names("numbers"), key=int).encode()
            return None if old == number else number

        def count(racer: int) -> bool:
            created = storage.create(f"numbers/{racer}", b"")
            storage.replace("highest", highest)
            return created

        assert all(_at_once(count, range(1, _RACERS + 1)))
        assert storage.read("highest") == b"%d" % _RACERS

    def test_a_file_that_is_removed_is_not_there_and_its_empty_folders_neither(
        self, storage: Storage
    ) -> None:
        for key in ("a/b/1.json", "a/2.json"):
            storage.create(key, b"x")
        storage.remove("a/b/1.json")
        storage.remove("a/b/1.json")
        assert storage.names("a") == ["2.json"]
        storage.remove("a/2.json")
        assert "a" not in storage.names("")

    def test_sweeping_leaves_what_is_whole(self, storage: Storage) -> None:
        storage.create("a/1.json", b"x")
        storage.replace("latest.json", lambda old: None if old else b"y")
        storage.sweep()
        assert (storage.read("a/1.json"), storage.read("latest.json")) == (b"x", b"y")

    def test_a_version_appears_complete(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        assert _commit(storage, version, content)
        text = storage.read(f"{version.key}/{layout.MARKER}")
        assert text is not None
        assert Version.from_json(text, version.key) == version
        with storage.content(version) as there:
            assert {p: file.read_bytes() for p, file in there.items()} == {
                p: file.read_bytes() for p, file in content.items()
            }

    def test_its_files_lie_where_a_web_server_finds_them(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        _commit(storage, version, content)
        assert storage.read(f"acme/words/1/{layout.CARD}") == content[layout.CARD].read_bytes()

    def test_a_number_is_given_once(self, storage: Storage, folders: Callable[[], Path]) -> None:
        first, second = draft(folders(), "one"), draft(folders(), "two")
        assert _commit(storage, *first)
        assert not _commit(storage, *second)
        with storage.content(first[0]) as there:
            assert there["module/assets/text"].read_text() == "one"

    def test_of_several_publishers_one_is_first(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        drafts = [draft(folders(), str(racer)) for racer in range(_RACERS)]
        won = _at_once(lambda racer: _commit(storage, *drafts[racer]), range(_RACERS))
        assert won.count(True) == 1
        winner, content = drafts[won.index(True)]
        assert storage.read(f"{winner.key}/{layout.MARKER}") == winner.to_json().encode()
        with storage.content(winner) as there:
            assert all(there[p].read_bytes() == content[p].read_bytes() for p in content)

    def test_a_draft_that_lost_a_number_may_take_the_next(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        _commit(storage, *draft(folders(), "one"))
        version, content = draft(folders(), "two")
        with storage.work() as work:
            storage.push(version, content, work)
            assert not storage.commit(version, work)
            assert storage.commit(replace(version, number=2), work)
        assert storage.names("acme/words") == ["1", "2"]

    def test_content_that_is_not_what_the_manifest_says_is_refused(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        content["module/assets/text"].write_text("two")
        with pytest.raises(DigestMismatchError, match="nothing was"):
            _commit(storage, version, content)
        assert storage.names("acme/words") == []

    def test_what_is_pushed_is_not_seen_before_it_is_committed(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        with storage.work() as work:
            storage.push(version, content, work)
            assert storage.names("") in ([], [layout.RESERVED])
            assert storage.names("acme") == []

    def test_versions_share_what_they_have_in_common(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        for number in range(1, 6):
            version, content = draft(folders(), f"small {number}", number)
            _commit(storage, version, content)
        kept = dict(storage.files(layout.BLOBS))
        assert len(kept) == 2 + 2 * 5  # Of each version only its text and its card are its own.

    def test_a_publisher_leaves_nothing_at_work(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        _commit(storage, *draft(folders(), "one"))
        assert list(storage.files(layout.WORK)) == []

    def test_garbage_is_what_no_version_names(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        _commit(storage, version, content)
        _commit(storage, *draft(folders(), "lost"))
        named = {entry.sha256 for entry in version.entries}
        lost = {k for k, _ in storage.files(layout.BLOBS) if k.rpartition("/")[2] not in named}
        planned = storage.collect(lambda: named, execute=False)
        assert {key for key, _ in planned.files} == lost
        assert storage.collect(lambda: named, execute=True) == planned
        assert storage.collect(lambda: named, execute=False).files == ()
        with storage.content(version) as there:
            assert there["module/assets/text"].read_text() == "one"

    def test_a_publisher_at_work_is_spared(
        self, storage: Storage, folders: Callable[[], Path]
    ) -> None:
        version, content = draft(folders(), "one")
        with storage.work() as work:
            garbage = storage.collect(set, execute=True)
            assert len(garbage.at_work) == 1
            storage.push(version, content, work)
            assert storage.commit(version, work)
        with storage.content(version) as there:
            assert there["module/assets/text"].read_text() == "one"


def _commit(storage: Storage, version: Version, content: Content) -> bool:
    with storage.work() as work:
        storage.push(version, content, work)
        return storage.commit(version, work)


def _at_once(call: Callable[[int], bool], racers: Sequence[int]) -> list[bool]:
    with ThreadPoolExecutor(len(racers)) as pool:
        return list(pool.map(call, racers))
