"""A root of embeddings: the latest generation is always whole, and nothing moves it back."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pushes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pushes import check_nothing_left, check_whole, digest_of, vectors_in, write_embeddings

from hub_tfx.embed import generations
from hub_tfx.embed.generations import (
    Generation,
    PushedGeneration,
    check_root_name,
    latest_generation,
    list_generations,
    uri_of,
)
from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.embed.output import push
from hub_tfx.embed.output.push import push_generation
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.errors import ConfigError, DigestMismatchError, HubTfxError, InputError, OutputError
from hub_tfx.repository.local import LocalStorage
from hub_tfx.repository.storage import Storage

ONE, TWO, THREE = [[1.0, 1.0]], [[2.0, 2.0]] * 2, [[3.0, 3.0]] * 3


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder that is synced at once, where the system has one in memory."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def root(memory: Path) -> Path:
    return memory / "root"


def push_vectors(
    root: Path, vectors: pushes.Vectors, module: str = "module", **options: Any
) -> PushedGeneration:
    """Pushes vectors of an output that is written for it."""
    output = write_embeddings(root.parent / uuid.uuid4().hex, vectors, module)
    return push_generation(root, output, **options)


# --- What a root holds ---------------------------------------------------------------------------


def test_embeddings_become_the_latest_generation(root: Path) -> None:
    output = write_embeddings(root.parent / "out", TWO, "words")
    pushed = push_generation(root, output, run="run-7")
    assert pushed.created
    assert pushed.uri == f"{root}/1"
    assert latest_generation(root) == pushed.generation
    assert pushed.generation.module == ModuleRef("hub/words", digest_of("words"))
    assert (pushed.generation.number, pushed.generation.rows) == (1, 2)
    assert (pushed.generation.run, pushed.generation.source) == ("run-7", output)
    assert vectors_in(root) == vectors_in(pushed.uri) == TWO
    check_nothing_left(root)


def test_other_programs_find_the_same_in_latest_json(root: Path) -> None:
    push_vectors(root, ONE)
    generation = push_vectors(root, TWO).generation
    latest = json.loads((root / "latest.json").read_text())
    assert latest == json.loads((root / "2" / "generation.json").read_text())
    assert (latest["number"], latest["rows"]) == (2, 2)
    assert latest["module"] == {"handle": "hub/module", "digest": digest_of("module")}
    assert latest["when"] == generation.when


def test_a_generation_stays_when_the_artifact_that_it_came_from_is_removed(root: Path) -> None:
    output = write_embeddings(root.parent / "out", TWO)
    push_generation(root, output)
    shutil.rmtree(output)
    assert vectors_in(root) == TWO


def test_a_generation_takes_no_room_beside_its_artifact_on_the_same_disk(root: Path) -> None:
    output = Path(write_embeddings(root.parent / "out", TWO))
    push_generation(root, str(output))
    (part,) = output.glob("embeddings-*")
    assert (root / "1" / part.name).samefile(part)


def test_all_splits_are_in_it(root: Path) -> None:
    folder = root.parent / "examples"
    for split, vectors in (("train", TWO), ("eval", ONE)):
        write_embeddings(folder, vectors, split=split)
    generation = push_generation(root, str(folder), splits=["train", "eval"]).generation
    assert (generation.splits, generation.rows) == (("eval", "train"), 3)
    names = {path.name for path in (root / "1").iterdir()}
    assert {"Split-train", "Split-eval", "digests-train", "manifest-eval.json"} <= names
    with pytest.raises(InputError, match="finished embeddings: it lacks the split 'test'"):
        push_generation(root, str(folder), splits=["train", "test"])


def test_the_same_embeddings_again_are_not_pushed(root: Path) -> None:
    first = push_vectors(root, TWO)
    again = push_vectors(root, TWO)
    assert not again.created
    assert again.generation == first.generation
    assert check_whole(root) == [1]


def test_examples_that_were_embedded_again_and_encoded_in_another_order_are_the_same(
    root: Path,
) -> None:
    folders = [
        write_embeddings(
            root.parent / f"{order}{inputs}", TWO, split="a", order=order, inputs=inputs
        )
        for order, inputs in (("x", "examples"), ("y", "examples"), ("x", "later"))
    ]
    created = [push_generation(root, folder).created for folder in folders]
    assert created == [True, False, True]  # Of later examples other features may have been kept.


def test_an_older_generation_can_be_pushed_again_as_a_new_one(root: Path) -> None:
    first = push_vectors(root, ONE)
    push_vectors(root, TWO)
    assert push_generation(root, first.uri).generation.number == 3
    assert vectors_in(root) == ONE


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_generations_are_kept(root: Path, keep: int) -> None:
    for n in range(5):
        push_vectors(root, [[float(n)]], keep=keep)
    assert check_whole(root) == [1, 2, 3, 4, 5][-keep:]
    check_nothing_left(root)
    assert not (root / "1").exists()


def test_at_least_the_latest_is_kept(root: Path) -> None:
    with pytest.raises(ConfigError, match="keep is 0: the latest generation always stays"):
        push_vectors(root, ONE, keep=0)
    assert not root.exists()


@given(
    st.builds(
        Generation,
        number=st.integers(1, 10**9),
        module=st.builds(ModuleRef, handle=st.text(), digest=st.text()),
        preprocessor=st.none() | st.text(),
        signature=st.text(),
        embedding_dim=st.none() | st.integers(),
        rows=st.integers(),
        splits=st.lists(st.text()).map(tuple),
        content=st.text(),
        source=st.text(),
        run=st.text(),
        who=st.text(),
        when=st.text(),
    )
)
def test_a_marker_says_what_was_written(generation: Generation) -> None:
    text = generation.to_json().encode()
    assert Generation.from_json(text, generation.number) == generation


# --- Two modules ---------------------------------------------------------------------------------


def both_named(one: str, other: str) -> str:
    return f"vectors of two modules.*{digest_of(one)}.*{digest_of(other)}.*one at a time"


def test_splits_of_two_modules_are_not_read_together(root: Path) -> None:
    folder = root.parent / "examples"
    write_embeddings(folder, TWO, "one", split="eval")
    write_embeddings(folder, TWO, "other", split="train")
    with pytest.raises(InputError, match=both_named("one", "other")):
        read_embeddings(str(folder))
    with pytest.raises(InputError, match=both_named("one", "other")):
        push_generation(root, str(folder))
    assert not root.exists()


def test_generations_of_two_modules_are_not_read_together(root: Path) -> None:
    places = [push_vectors(root, ONE, module).uri for module in ("one", "one", "other")]
    assert places[0] == places[1]
    with pytest.raises(InputError, match=both_named("one", "other")):
        read_embeddings([places[0], places[2]])
    more = write_embeddings(root.parent / "more", TWO, "other")
    assert read_embeddings([str(root), more])[0].tolist() == ONE + TWO


def test_vectors_of_two_signatures_are_not_read_together(memory: Path) -> None:
    places = [write_embeddings(memory / name, ONE, signature=name) for name in ("a", "b")]
    with pytest.raises(InputError, match=r"two signatures .* of 'a', .* of 'b'"):
        read_embeddings(places)


# --- What is wrong -------------------------------------------------------------------------------


def test_what_is_not_embeddings_is_not_pushed(root: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match=f"{folder} does not hold finished embeddings"):
            push_generation(root, str(folder))
    assert not root.exists()


def test_damaged_embeddings_are_not_pushed_and_leave_nothing(root: Path) -> None:
    push_vectors(root, ONE)
    output = write_embeddings(root.parent / "out", TWO)
    (part,) = Path(output).glob("embeddings-*")
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DigestMismatchError, match=f"{part} has other bytes than its manifest says"):
        push_generation(root, output)
    assert check_whole(root) == [1]
    check_nothing_left(root)


def test_embeddings_that_are_not_whole_at_the_end_are_not_a_generation(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_vectors(root, ONE)
    with monkeypatch.context() as patch:
        patch.setattr(push, "_bring", lambda *_: None)
        with pytest.raises(InputError, match="has changed since it was written: make the"):
            push_vectors(root, TWO)
    assert check_whole(root) == [1]
    check_nothing_left(root)


def test_what_is_not_ours_is_not_a_root(tmp_path: Path) -> None:
    output = write_embeddings(tmp_path / "out", TWO)
    served = tmp_path / "served" / "1"
    served.mkdir(parents=True)
    with pytest.raises(OutputError, match="holds '1', which is not a generation: name a new dir"):
        push_generation(served.parent, output)
    assert [*served.parent.iterdir()] == [served]
    for folder in (served.parent, tmp_path / "nothing"):
        with pytest.raises(InputError, match="does not hold generations of embeddings: check the"):
            latest_generation(folder)


def test_a_root_inside_the_embeddings_is_refused(tmp_path: Path) -> None:
    output = write_embeddings(tmp_path / "out", TWO)
    with pytest.raises(ConfigError, match="is inside the embeddings"):
        push_generation(Path(output, "root"), output)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "has no name: give a directory"),
        ("hdfs://host/x", "hdfs://… cannot hold embeddings: use a directory"),
        ("s3://", "is not the URL of embeddings"),
        ("gs://user:secret@bucket/x", "is not the URL of embeddings: .* without credentials"),
        ("caf\udce9", "a name that is not UTF-8"),
    ],
)
def test_what_cannot_be_a_root_is_refused_by_its_name(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        check_root_name(name)
    assert "secret" not in str(caught.value)


def test_names_of_roots_are_checked_without_asking_anybody() -> None:
    for name in ("here", "/there", "file:///there", "s3://bucket/x", "gs://bucket/x"):
        assert check_root_name(name) == name


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"null", b'{"number": 2}', b"[" * 10**5])
def test_a_damaged_marker_is_told_and_not_passed_over(root: Path, text: bytes) -> None:
    push_vectors(root, ONE)
    push_vectors(root, TWO)
    (root / "2" / "generation.json").chmod(0o644)
    (root / "2" / "generation.json").write_bytes(text)
    with pytest.raises(DigestMismatchError, match=f"{root}/2/generation.json is damaged"):
        read_embeddings(str(root))
    with pytest.raises(DigestMismatchError, match="remove the folder 2 and push"):
        push_vectors(root, THREE)
    shutil.rmtree(root / "2")
    assert push_vectors(root, THREE).generation.number == 2
    check_nothing_left(root)


def test_a_marker_of_another_number_is_damaged(root: Path) -> None:
    push_vectors(root, ONE)
    shutil.copytree(root / "1", root / "7")
    with pytest.raises(DigestMismatchError, match="it is that of generation 1"):
        latest_generation(root)


def test_a_root_of_a_later_layout_is_left_alone(root: Path) -> None:
    push_vectors(root, ONE)
    (root / "-" / "embeddings.json").write_text('{"layout": 2}')
    for call in (latest_generation, list_generations, lambda root: push_vectors(root, TWO)):
        with pytest.raises(InputError, match="in layout 2, not 1: use the hub_tfx that pushed"):
            call(root)


def test_a_root_without_a_generation_holds_no_output(root: Path) -> None:
    LocalStorage(str(root)).create("-/embeddings.json", b'{"layout": 1}\n')
    assert latest_generation(root) is None
    with pytest.raises(InputError, match="does not hold a finished output"):
        read_embeddings(str(root))


def test_no_folder_at_all_is_told() -> None:
    with pytest.raises(ConfigError, match="no folder is named"):
        read_embeddings([])


# --- Killed --------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


class Dying(LocalStorage):
    """A storage whose process dies before a certain change, and does nothing afterwards."""

    def __init__(self, root: str, lives: float):
        super().__init__(root)
        self.lives = lives

    def _change(self) -> None:
        if self.lives <= 0:
            raise Killed
        self.lives -= 1

    def create(self, key: str, data: bytes) -> bool:
        self._change()
        return super().create(key, data)

    def put(self, key: str, source: str) -> bool:
        self._change()
        return super().put(key, source)

    def replace(self, key: str, change: Any) -> None:
        self._change()
        super().replace(key, change)

    def remove(self, key: str) -> None:
        self._change()
        super().remove(key)


def test_wherever_a_push_is_killed_the_latest_is_whole_and_the_next_push_cleans_up(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = [write_embeddings(memory / str(n), [[float(n)]] * (n + 1)) for n in range(5)]
    left, lives, created = list[list[int]](), 0, None
    while created is None:
        root = memory / f"root-{lives}"
        for output in outputs[:2]:
            push_generation(root, output)
        dying = Dying(str(root), lives)
        with monkeypatch.context() as patch:
            patch.setattr(push, "open_root", lambda _, dying=dying: dying)
            with suppress(Killed):
                created = push_generation(root, outputs[2]).created
        left.append(check_whole(root))
        latest = left[-1][-1]
        assert vectors_in(root) == [[latest - 1.0]] * latest
        named = json.loads((root / "latest.json").read_text())["number"]
        assert named in left[-1]
        number = push_generation(root, outputs[3]).generation.number
        assert vectors_in(root) == [[3.0]] * 4
        assert json.loads((root / "latest.json").read_text())["number"] == number
        check_nothing_left(root)
        lives += 1
    assert created
    assert left[0] == [1, 2]
    assert [1, 2, 3] in left
    assert left[-1] == [2, 3]
    assert lives > 10


def test_a_push_that_was_killed_after_its_end_is_finished_by_one_of_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for vectors in (ONE, TWO):
        push_vectors(root, vectors)
    output = write_embeddings(root.parent / "out", THREE)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(push, "_finish", kill)
        with pytest.raises(Killed):
            push_generation(root, output)
    assert check_whole(root) == [1, 2, 3]
    assert json.loads((root / "latest.json").read_text())["number"] == 2
    assert not push_generation(root, output).created
    assert check_whole(root) == [2, 3]
    assert json.loads((root / "latest.json").read_text())["number"] == 3
    check_nothing_left(root)


@pytest.mark.slow
def test_wherever_a_push_is_killed_by_the_system_the_latest_is_whole(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    calls = ["openat", "mkdir", "write", "fsync", "link", "linkat", "rename", "unlink", "rmdir"]
    command = [sys.executable, "-W", "ignore", pushes.__file__, str(tmp_path), *calls]
    path = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True)
    if "strace: " in "".join(done.stderr.splitlines()[-1:]):
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout)
    assert {"link: 2", "rename: 3", "unlink: 3", "fsync: 2"} <= left.keys()


# --- Two at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_of_two_pushes_at_once_the_higher_number_is_the_latest(memory: Path, times: int) -> None:
    outputs = [write_embeddings(memory / str(n), [[float(n)]] * (n + 1)) for n in range(2)]
    came_to = set[tuple[bool, bool]]()
    with ThreadPoolExecutor(2) as pool:
        for number in range(times):
            root, start = memory / f"root-{number}", threading.Barrier(2)

            def attempt(output: str, root: Path = root, start: Any = start) -> PushedGeneration:
                start.wait()
                return push_generation(root, output)

            pushed = list(pool.map(attempt, outputs))
            latest = latest_generation(root)
            assert latest is not None
            assert latest.number == max(p.generation.number for p in pushed)
            assert vectors_in(root) == vectors_in(latest.source)
            assert json.loads((root / "latest.json").read_text())["number"] == latest.number
            check_nothing_left(root)
            assert any(p.created for p in pushed)
            came_to.add((pushed[0].created, pushed[1].created))
            shutil.rmtree(root)
    assert (True, True) in came_to


def test_a_push_that_a_later_one_overtakes_is_given_up(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    push_vectors(root, ONE)
    bring = push._bring

    def overtaken(storage: Storage, key: str, file: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(push, "_bring", bring)
            push_vectors(root, THREE)
        monkeypatch.setattr(push, "_bring", bring)
        bring(storage, key, file)

    monkeypatch.setattr(push, "_bring", overtaken)
    pushed = push_vectors(root, TWO)
    assert not pushed.created
    assert pushed.generation.number == 3
    assert vectors_in(root) == THREE
    assert "generation 2, which is given up" in caplog.text
    assert check_whole(root) == [1, 3]
    check_nothing_left(root)
    assert push_vectors(root, TWO).generation.number == 4


def test_a_push_that_is_interrupted_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_vectors(root, ONE)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(push, "_generation", interrupt)
    with pytest.raises(KeyboardInterrupt):
        push_vectors(root, TWO)
    assert check_whole(root) == [1]
    check_nothing_left(root)


# --- In a bucket ---------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> str:
    return f"memory://{uuid.uuid4().hex}/root"


def test_a_bucket_holds_generations_too(bucket: str, tmp_path: Path) -> None:
    outputs = [write_embeddings(tmp_path / str(n), [[float(n)]]) for n in range(4)]
    for output in outputs:
        pushed = push_generation(bucket, output)
        assert pushed.created
    assert [g.number for g in list_generations(bucket)] == [3, 4]
    assert not push_generation(bucket, outputs[-1]).created
    assert latest_generation(bucket) == pushed.generation
    assert pushed.uri == uri_of(bucket, pushed.generation) == f"{bucket}/4"
    storage = generations.open_root(bucket)
    assert json.loads(storage.read("latest.json") or b"")["number"] == 4
    assert {key.partition("/")[0] for key, _ in storage.files("")} == {"-", "latest.json", "3", "4"}


def test_equal_vectors_of_another_module_are_another_generation(root: Path) -> None:
    push_vectors(root, ONE)
    assert push_vectors(root, ONE, "other").created


def test_errors_are_one_line(root: Path) -> None:
    with pytest.raises(HubTfxError) as caught:
        push_generation(root, str(root.parent))
    assert len(caught.value.lines) == 1
