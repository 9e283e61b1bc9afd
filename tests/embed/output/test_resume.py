"""What a failed run has finished is taken over by the next one, and nothing else is."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.data.files import SourceFile, find_files, split_row_groups
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.limits import EmbedLimits
from hub_tfx.embed.output import sink
from hub_tfx.embed.output.resume import Finished, left_to_read, take_finished
from hub_tfx.embed.read import Block, RowRange, make_work_units
from hub_tfx.errors import InputError, OutputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module

pytestmark = pytest.mark.long

_KEEP_N = EmbedConfig(keep=("n",), batch_size=4)
_SMALL_BLOCKS = EmbedLimits(min_unit_bytes=1, block_s=0, window_rows=1)
"""A work unit for each file, a block for each batch, a batch for each call."""


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("m") / "text"))


@pytest.fixture
def inputs(tmp_path):
    """Three files of ten records, of which one each has no text and one is broken."""
    folder = tmp_path / "in"
    folder.mkdir()
    for file in range(3):
        lines = [{"n": 10 * file + n, "text": f"cat {n}"} for n in range(10)]
        lines[3]["text"] = None
        content = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{file}.jsonl").write_text(content.replace('{"n": 10,', "{broken"))
    return folder


def embed(module, inputs, output, config=_KEEP_N, **more):
    return embed_files(
        module, [f"{inputs}/*.jsonl"], str(output), config, limits=_SMALL_BLOCKS, **more
    )


def fail_at(monkeypatch, write):
    """Makes the write of that number fail, as a disk that is full."""
    writes = iter(range(1, write + 1))
    real = sink.PartWriter.write

    def failing(self, batch):
        if next(writes, write) == write:
            raise OSError(28, "No space left on device")
        real(self, batch)

    monkeypatch.setattr(sink.PartWriter, "write", failing)


def rows_of(output, kind="files", folder=""):
    manifest = json.loads(Path(output, "manifest.json").read_text())
    tables = [pq.read_table(Path(output, folder, file["name"])) for file in manifest[kind]]
    return [row for table in tables for row in table.to_pylist()]


def content_of(output):
    return rows_of(output), rows_of(output, "dead_letter_files", "dead_letters")


def parts_left(output):
    return {path.name: path.stat().st_mtime_ns for path in Path(output).glob(".tmp-*/embeddings-*")}


@pytest.mark.parametrize("write", range(2, 12, 3))
def test_wherever_a_run_fails_the_next_one_finishes_it_and_the_output_is_the_same(
    tmp_path, module, inputs, monkeypatch, write
):
    whole, output = tmp_path / "whole", tmp_path / "out"
    embed(module, inputs, whole)
    with monkeypatch.context() as patch:
        fail_at(patch, write)
        with pytest.raises(OutputError, match="No space left"):
            embed(module, inputs, output)
    assert not list(output.glob("*.parquet"))
    result = embed(module, inputs, output)
    assert (result.rows, result.dead_letters) == (26, 4)
    assert (result.resumed > 0) == (write > 2)
    assert content_of(output) == content_of(whole)
    assert not list(output.glob(".tmp-*"))


def test_finished_parts_are_moved_not_written_again(tmp_path, module, inputs, monkeypatch):
    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        fail_at(patch, 9)
        with pytest.raises(OutputError):
            embed(module, inputs, output)
    before = [m for name, m in parts_left(output).items() if not name.endswith(".json")]
    embed(module, inputs, output)
    after = {path.stat().st_mtime_ns for path in output.rglob("*")}
    assert before
    assert set(before) <= after


def fail_half_way(module, inputs, output, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at(patch, 9)
        with pytest.raises(OutputError):
            embed(module, inputs, output)
    assert parts_left(output)


def test_a_run_that_calls_in_another_way_takes_them_over(tmp_path, module, inputs, monkeypatch):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    config = EmbedConfig(keep=("n",), batch_size=3, max_dead_letter_ratio=0.5, call_timeout_s=1000)
    assert embed(module, inputs, tmp_path / "out", config).resumed


def test_a_run_with_another_config_removes_them(tmp_path, module, inputs, monkeypatch):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    result = embed(module, inputs, tmp_path / "out", EmbedConfig(keep=("text",)))
    assert (result.resumed, result.rows) == (0, 26)
    assert not list((tmp_path / "out").glob(".tmp-*"))


def test_a_run_with_another_module_removes_them(tmp_path, module, inputs, monkeypatch):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    other = ResolvedModule.of_directory(text_module(tmp_path / "other", dim=3))
    assert embed(other, inputs, tmp_path / "out").resumed == 0


def test_rows_of_a_file_that_has_changed_are_embedded_again(tmp_path, module, inputs, monkeypatch):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    (inputs / "0.jsonl").write_text('{"n": -1, "text": "dog"}\n')
    embed(module, inputs, tmp_path / "out")
    numbers = [row["n"] for row in rows_of(tmp_path / "out")]
    assert numbers[0] == -1
    assert len(numbers) == len(set(numbers)) == 1 + 8 + 9


def rewrite(path, old, new):
    """Other bytes, of the same number, with the same times for all that can be set."""
    about = path.stat()
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size


def test_rows_of_a_file_with_other_bytes_but_the_same_size_and_time_are_embedded_again(
    tmp_path, module, inputs, monkeypatch
):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    rewrite(inputs / "0.jsonl", '"n": 0,', '"n": 9,')
    embed(module, inputs, tmp_path / "out")
    assert rows_of(tmp_path / "out")[0]["n"] == 9


def test_rows_of_a_file_with_another_time_but_the_same_bytes_are_taken_over(
    tmp_path, module, inputs, monkeypatch
):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    for path in inputs.iterdir():
        os.utime(path, (1, 1))
    assert embed(module, inputs, tmp_path / "out").resumed


def test_files_may_be_added_meanwhile(tmp_path, module, inputs, monkeypatch):
    fail_half_way(module, inputs, tmp_path / "out", monkeypatch)
    (inputs / "00.jsonl").write_text('{"n": -1, "text": "dog"}\n')
    result = embed(module, inputs, tmp_path / "out")
    assert result.resumed
    assert result.rows == 27


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize(
    ("ending", "change"),
    [
        ("", damage),
        ("", Path.unlink),
        (".digests", damage),
        (".part.json", Path.unlink),
        (".part.json", lambda path: path.write_bytes(path.read_bytes()[:50])),
        (".part.json", lambda path: shutil.copy(path, f"{path.with_suffix('')}2.part.json")),
    ],
    ids=["damaged", "lost", "damaged digests", "no record", "half a record", "two records"],
)
def test_what_is_not_whole_is_embedded_again(tmp_path, module, inputs, monkeypatch, ending, change):
    whole, output = tmp_path / "whole", tmp_path / "out"
    embed(module, inputs, whole)
    fail_half_way(module, inputs, output, monkeypatch)
    for path in output.glob(".tmp-*/embeddings-*"):
        if path.suffixes == [f".{name}" for name in ending.split(".")[1:]]:
            change(path)
    assert embed(module, inputs, output).resumed == 0
    assert content_of(output) == content_of(whole)


def test_row_groups_of_one_file_are_work_units_and_are_taken_over(tmp_path, module, monkeypatch):
    import pyarrow as pa

    texts = [f"cat {n}" if n % 7 else None for n in range(40)]
    pq.write_table(
        pa.table({"n": range(40), "text": texts}), tmp_path / "in.parquet", row_group_size=5
    )
    paths, output = [str(tmp_path / "in.parquet")], str(tmp_path / "out")
    assert len(make_work_units(split_row_groups(find_files(paths)), _SMALL_BLOCKS)) == 8
    with monkeypatch.context() as patch:
        fail_at(patch, 9)
        with pytest.raises(OutputError):
            embed_files(module, paths, output, _KEEP_N, limits=_SMALL_BLOCKS)
    result = embed_files(module, paths, output, _KEEP_N, limits=_SMALL_BLOCKS)
    assert result.resumed
    rows, letters = content_of(output)
    assert [row["n"] for row in rows] == [n for n in range(40) if n % 7]
    keys = [letter["key"] for letter in letters]
    assert keys == [f"{paths[0]}:{n + 1}" for n in range(0, 40, 7)]
    manifest = json.loads(Path(output, "manifest.json").read_text())
    assert manifest["inputs"] == {paths[0]: 40}


def test_a_run_whose_commit_fails_needs_no_module_the_next_time(
    tmp_path, module, inputs, monkeypatch
):
    from hub_tfx.embed.output import commit

    output = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(commit, "_check_schemas", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embed(module, inputs, output)
    assert embed(module, inputs, output).resumed == 26


def test_a_file_that_changes_while_it_is_read_fails_the_job(tmp_path, module, inputs, monkeypatch):
    real = sink.PartWriter.write

    def write(self, batch):
        (inputs / "1.jsonl").write_text('{"n": 1, "text": "cat"}\n')
        real(self, batch)

    monkeypatch.setattr(sink.PartWriter, "write", write)
    with pytest.raises(InputError, match=r"1\.jsonl changed while it was read"):
        embed(module, inputs, tmp_path / "out")


def test_a_file_that_changes_while_it_is_read_fails_the_job_whatever_its_time(
    tmp_path, module, inputs, monkeypatch
):
    real, rewritten = sink.PartWriter.write, []

    def write(self, batch):
        if not rewritten:
            rewritten.append(rewrite(inputs / "0.jsonl", '"n": 0,', '"n": 9,'))
        real(self, batch)

    monkeypatch.setattr(sink.PartWriter, "write", write)
    with pytest.raises(InputError, match=r"0\.jsonl changed while it was read"):
        embed(module, inputs, tmp_path / "out")


# --- Rows and blocks ------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))), st.integers(0, 30))
def test_finished_and_unfinished_rows_are_all_rows(ranges, stop):
    finished, taken = [], set()
    for start, behind in ranges:
        if not taken & set(range(start, behind)) and start < behind:
            finished.append((start, behind))
            taken |= set(range(start, behind))
    file = SourceFile("a", "csv", finished=tuple(finished))
    rows = [row for start, behind in file.unfinished(0, stop) for row in range(start, behind)]
    assert rows == [row for row in range(stop) if row not in taken]


def block(start, stop, path="a", is_end=False):
    return Block("b", (RowRange(path, "v", start, stop, is_end),), 0.0)


def test_a_file_is_left_out_once_all_of_it_is_finished():
    a, b = SourceFile("a", "csv", version="v"), SourceFile("b", "csv", version="v")
    assert left_to_read([a, b], Finished()) == [a, b]
    (left, _) = left_to_read([a, b], Finished((block(0, 5),)))
    assert left.unfinished(0, 9) == [(5, 9)]
    assert left_to_read([a, b], Finished((block(0, 5), block(5, 9, is_end=True)))) == [b]
    (left, _) = left_to_read([a, b], Finished((block(5, 9, is_end=True),)))
    assert left.unfinished(0, 9) == [(0, 5)]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert take_finished(str(tmp_path / "none")) == Finished()


# --- Work units ---------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 200 << 20), min_size=1, max_size=300))
def test_work_units_are_all_files_in_order_and_none_is_large(sizes):
    files = [SourceFile(str(n), "csv", size_bytes=size) for n, size in enumerate(sizes)]
    units = make_work_units(files)
    assert [file for unit in units for file in unit] == files
    for unit in units:
        assert len(unit) == 1 or sum(f.size_bytes for f in unit) <= EmbedLimits().max_unit_bytes


def test_small_files_share_a_work_unit_and_yet_many_workers_have_work():
    tiny = [SourceFile(str(n), "csv", size_bytes=100) for n in range(500)]
    assert len(make_work_units(tiny)) == 1
    middling = [SourceFile(str(n), "csv", size_bytes=1 << 20) for n in range(500)]
    assert 50 < len(make_work_units(middling)) <= 100
