"""What becomes of files and folders: the table "Files" of docs/inputs.md."""

import bz2
import gzip
import lzma
import os
import shutil
import socket

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from kinds import KEPT, Kinds, read

from hub_tfx.data.files import find_files
from hub_tfx.data.images import FileReader
from hub_tfx.data.readers import READERS, format_of
from hub_tfx.errors import InputError
from hub_tfx.testing.remote import RemoteFileSystem

KINDS = Kinds("Files")


def test_each_row_of_the_table_is_tested():
    KINDS.check_all_are_tested()


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(content)
    return sink.getvalue().to_pybytes()


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


def example_file(path):
    example = tf.train.Example()
    example.features.feature["x"].bytes_list.value.append(b"a")
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(example.SerializeToString())


def write(path, file_format):
    """A file of a format with one row, whose column ``x`` is "a"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if file_format == "tfrecord":
        example_file(path)
    elif file_format == "parquet":
        pq.write_table(pa.table({"x": ["a"]}), path)
    else:
        path.write_text({"csv": "x,y\na,1\n", "jsonl": '{"x": "a"}\n', "txt": "a\n"}[file_format])
    return path


def values(path, file_format=None):
    """The values of the column that every one of these files has."""
    name = "text" if find_files([str(path)], file_format)[0].format == "txt" else "x"
    rows = read(path, {name: KEPT}, file_format)
    plain = [row[0][0] if isinstance(row[0], list) else row[0] for row in rows]
    return [value.decode() if isinstance(value, bytes) else value for value in plain]


ENDINGS = {
    "txt": ["txt"],
    "csv": ["csv"],
    "jsonl": ["jsonl", "ndjson", "json"],
    "parquet": ["parquet", "parq", "pq", "snappy.parquet"],
    "tfrecord": ["tfrecord", "tfrecords", "tfrec"],
}


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        (name, file_format)
        for file_format, endings in ENDINGS.items()
        for ending in endings
        for name in (f"a.{ending}", f"A.b.{ending.upper()}", f"a.{ending}-00000-of-00010")
    ],
)
@KINDS.row("a known ending")
def test_a_known_ending_tells_the_format(tmp_path, name, file_format):
    assert values(write(tmp_path / name, file_format)) == ["a"]
    assert format_of(name) == file_format  # No look into the file.


@pytest.mark.parametrize("ending", ["tsv", "TAB", "tsv.gz"])
def test_tab_separated_files_are_a_kind_of_csv(ending):
    assert format_of(f"a.{ending}") == "csv"


@pytest.mark.parametrize("file_format", ["tfrecord", "parquet", "jsonl"])
@pytest.mark.parametrize("name", ["part-00000-of-00001", "data_tfrecord-00000-of-00001.gz", "DATA"])
@KINDS.row("another name")
def test_another_name_is_known_by_its_bytes(tmp_path, file_format, name):
    path = write(tmp_path / name, file_format)
    assert format_of(str(path)) == file_format
    assert values(path) == ["a"]


def test_a_long_first_line_of_json_is_known_by_its_beginning(tmp_path):
    path = tmp_path / "part-0"
    path.write_text('{"x": "' + "a" * 200_000 + '"}\n')
    assert format_of(str(path)) == "jsonl"


@pytest.mark.parametrize("file_format", ["txt", "csv"])
@KINDS.row("text or CSV under another name")
def test_text_under_another_name_needs_to_be_told(tmp_path, file_format):
    path = write(tmp_path / "part-0", file_format)
    with pytest.raises(InputError, match=r"part-0: neither .*--input-format \(txt, csv, jsonl"):
        find_files([str(path)])
    assert values(path, file_format) == ["a"]


@pytest.mark.parametrize("file_format", READERS)
def test_every_format_can_be_told_whatever_the_name(tmp_path, file_format):
    assert values(write(tmp_path / "a.data", file_format), file_format) == ["a"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04...", "ZIP"),
        (b"ARROW1\0\0", "Arrow"),
        (b"Obj\x01...", "Avro"),
        (b"ORC...", "ORC"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"SQLite format 3\0", "SQLite"),
    ],
)
@KINDS.row("ZIP, Arrow, Avro, ORC, HDF5, SQLite")
def test_formats_that_are_not_read_are_named(tmp_path, content, what):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=f"a is an? {what}.*: "):
        find_files([str(tmp_path / "a")])


@pytest.mark.parametrize("file_format", ["txt", "csv", "jsonl", "tfrecord"])
@pytest.mark.parametrize("compression", COMPRESS)
@KINDS.row("gzip, bzip2, xz, zstd")
def test_compression_is_known_by_its_bytes(tmp_path, file_format, compression):
    path = write(tmp_path / f"a.{file_format}", file_format)
    path.write_bytes(COMPRESS[compression](path.read_bytes()))
    assert values(path) == ["a"]
    named = tmp_path / f"b.{file_format}.{compression}"
    shutil.copy(path, named)
    assert values(named) == ["a"]


def test_an_ending_of_compression_does_not_make_it_compressed(tmp_path):
    assert values(write(tmp_path / "a.csv.gz", "csv")) == ["a"]


@KINDS.row("Parquet in gzip")
def test_parquet_in_gzip_is_an_error(tmp_path):
    path = write(tmp_path / "a.parquet.gz", "parquet")
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match="as Parquet: it is compressed by gzip: unpack it"):
        values(path)


@pytest.mark.parametrize("compression", COMPRESS)
@KINDS.row("compressed, and cut short")
def test_a_compressed_file_that_is_cut_short_is_an_error(tmp_path, compression):
    content = COMPRESS[compression](b"a\n" * 1000)
    path = tmp_path / "a.txt"
    for cut in (len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"a\.txt is cut short or damaged"):
            values(path)


@KINDS.row("a folder")
def test_a_folder_is_all_of_its_data_files(tmp_path):
    for name in (
        "b.csv",
        "sub/a.csv",
        "sub/.hidden.csv",
        "sub/_x.csv",
        "_temporary/0/c.csv",
        ".d/e.csv",
    ):
        write(tmp_path / name, "csv")
    for name in ("_SUCCESS", "sub/.b.csv.crc", "README.md", "dataset_info.json", "features.json"):
        (tmp_path / name).write_text("{}")
    found = [file.path for file in find_files([str(tmp_path)])]
    assert found == [str(tmp_path / "b.csv"), str(tmp_path / "sub/a.csv")]
    assert [f.path for f in find_files([f"{tmp_path}/"])] == found
    write(tmp_path / "c.jsonl", "jsonl")
    assert [f.path for f in find_files([str(tmp_path)], "csv")] == found
    (tmp_path / "empty").mkdir()
    complaint = r"no file matches .*empty, and no folder there holds data"
    with pytest.raises(InputError, match=complaint):
        find_files([str(tmp_path / "empty")])


def test_folders_may_be_links_also_to_where_they_lie(tmp_path):
    write(tmp_path / "data" / "a.csv", "csv")
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "link").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "up").symlink_to(tmp_path)
    assert values(tmp_path / "input") == ["a"]


def test_a_glob_leaves_out_markers_and_keeps_what_is_data(tmp_path):
    for name in ("a.csv", "_b.csv"):
        write(tmp_path / name, "csv")
    for name in ("_SUCCESS", ".a.csv.crc"):
        (tmp_path / name).write_text("")
    found = find_files([f"{tmp_path}/*"])
    assert [os.path.basename(file.path) for file in found] == ["_b.csv", "a.csv"]
    with pytest.raises(InputError, match=r"no file matches the input .*_S\*, except for markers"):
        find_files([f"{tmp_path}/_S*"])


@pytest.mark.parametrize("pattern", ["d/*.csv", "d", "d/", "d/**"])
def test_folders_and_globs_of_other_filesystems_are_found(tmp_path, pattern):
    for name in ("d/a.csv", "d/.hidden/b.csv", "d/_SUCCESS"):
        write(tmp_path / name, "csv")
    with RemoteFileSystem.at(tmp_path):
        found = [file.path for file in find_files([f"remote://{pattern}"])]
        assert "remote://d/a.csv" in found
        assert found == ["remote://d/a.csv"] or pattern == "d/**"
        with pytest.raises(InputError, match="no file matches the input remote://none"):
            find_files(["remote://none"])


@KINDS.row("a folder of TFX Examples")
def test_a_folder_of_tfx_examples_is_all_of_its_splits(tmp_path):
    for split in ("train", "eval"):
        write(tmp_path / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz", "tfrecord")
    assert values(tmp_path) == ["a", "a"]
    assert values(tmp_path / "Split-eval") == ["a"]
    assert values(tmp_path / "Split-*") == ["a", "a"]


@pytest.mark.parametrize("file_format", READERS)
@KINDS.row("no byte")
def test_a_file_without_a_byte_has_no_records(tmp_path, file_format):
    (tmp_path / f"0.{file_format}").write_bytes(b"")
    schema = READERS[file_format].infer_schema(str(tmp_path / f"0.{file_format}"))
    assert list(READERS[file_format].read(str(tmp_path / f"0.{file_format}"), schema, 9)) == []
    write(tmp_path / f"1.{file_format}", file_format)
    (tmp_path / "2").write_bytes(b"")
    assert values(tmp_path) == ["a"]


def test_many_empty_files_hide_no_column(tmp_path):
    for n in range(40):
        (tmp_path / f"{n:02}.csv").write_bytes(b"")
    write(tmp_path / "17.csv", "csv")
    assert values(tmp_path) == ["a"]


@KINDS.row("a FIFO, a device, a socket")
def test_nothing_waits_for_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "fifo.csv")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "socket.csv"))
    odd = {
        "a FIFO": tmp_path / "fifo.csv",
        "a socket": tmp_path / "socket.csv",
        "a device": "/dev/zero",
    }
    for what, path in odd.items():
        with pytest.raises(InputError, match=f"is {what}, not a file"):
            find_files([str(path)], "csv")
        for reader in READERS.values():
            with pytest.raises(InputError, match="cannot be read"):
                list(reader.read(str(path), pa.schema([("x", pa.string())]), 1))
    with pytest.raises(InputError, match="is a FIFO, not a file"):
        find_files([f"{tmp_path}/*"])
    reasons = FileReader()([str(path) for path in (*odd.values(), tmp_path)])
    assert reasons[0] == "cannot be read: it is a FIFO, not a file"
    assert all(reason.startswith("cannot be read: ") for reason in reasons)
    listening.close()


@KINDS.row("a name that is not UTF-8")
def test_a_name_that_is_not_utf_8_is_an_error_that_shows_it(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    with open(path, "wb") as file:
        file.write(b"x\na\n")
    for pattern in (os.fsdecode(path), str(tmp_path), f"{tmp_path}/*.csv"):
        with pytest.raises(
            InputError, match=r"caf\\xe9\.csv: its name is not valid UTF-8"
        ) as error:
            find_files([pattern])
        str(error.value).encode()


def test_a_link_that_leads_nowhere_is_an_error(tmp_path):
    (tmp_path / "a.csv").symlink_to(tmp_path / "nowhere")
    for pattern in (tmp_path / "a.csv", f"{tmp_path}/*.csv", tmp_path):
        with pytest.raises(InputError, match=r"a\.csv|no file matches"):
            find_files([str(pattern)])
