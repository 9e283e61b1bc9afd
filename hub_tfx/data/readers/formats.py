"""Which format a file has: by its ending, otherwise by its first bytes."""

import json
import re

from hub_tfx.data.readers.streams import compression_of, content_of, head_of
from hub_tfx.data.readers.tfrecord import begins_as_records
from hub_tfx.errors import InputError

_ENDINGS = {
    "txt": "txt",
    "csv": "csv",
    "tsv": "csv",
    "tab": "csv",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "json": "jsonl",
    "parquet": "parquet",
    "parq": "parquet",
    "pq": "parquet",
    "tfrecord": "tfrecord",
    "tfrecords": "tfrecord",
    "tfrec": "tfrecord",
}
_ENDING = re.compile(
    rf"\.({'|'.join(_ENDINGS)})(-\d+-of-\d+)?(\.(gz|gzip|bz2|xz|zst|zstd))?$", re.IGNORECASE
)
_OTHERS = {  # Of files that come for data, and are not read.
    b"PK\x03\x04": "a ZIP archive: unpack it",
    b"ARROW1": "an Arrow file: write it as Parquet",
    b"\xff\xff\xff\xff": "an Arrow stream: write it as Parquet",
    b"Obj\x01": "an Avro file: write it as Parquet",
    b"ORC": "an ORC file: write it as Parquet",
    b"\x89HDF": "an HDF5 file: write it as Parquet",
    b"SQLite format 3": "a SQLite database: write its rows as Parquet or CSV",
}
_HEAD_BYTES = 1 << 16


def format_of_name(path: str) -> str | None:
    """The format that a file's ending says; None where it has another one."""
    match = _ENDING.search(path)
    return _ENDINGS[match[1].lower()] if match else None


def format_of(path: str) -> str:
    """The format of a file, a key of READERS.

    Raises:
      InputError: it cannot be read, or its format cannot be told.
    """
    if (named := format_of_name(path)) is not None:
        return named
    head = head_of(path, _HEAD_BYTES)
    if head.startswith(b"PAR1"):
        return "parquet"
    if compression_of(head) is not None:
        with content_of(path) as content:
            head = content.read(_HEAD_BYTES)
    if begins_as_records(head):
        return "tfrecord"
    if _begins_as_json_lines(head):
        return "jsonl"
    what = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
    raise InputError(
        f"{path} is {what}"
        if what
        else f"{path}: neither its ending nor its first bytes tell its format: say which with "
        "--input-format (txt, csv, jsonl, parquet or tfrecord)"
    )


def _begins_as_json_lines(head: bytes) -> bool:
    line, newline, _ = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        # Of a line that is longer than what was read, only the beginning can be judged.
        return (
            not newline and len(head) == _HEAD_BYTES and re.match(rb'\s*\{\s*"', line) is not None
        )
