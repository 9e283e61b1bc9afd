"""How part files are stored: floats as they are, all else compressed."""

import pyarrow as pa
import pyarrow.parquet as pq

from hub_tfx.embed.limits import DEFAULT_LIMITS, EmbedLimits
from hub_tfx.embed.output.writers import PART_FILES


def write(path, columns, times=1, limits=DEFAULT_LIMITS):
    batch = pa.RecordBatch.from_pydict(columns)
    file = PART_FILES["parquet"](str(path), batch.schema, limits)
    for _ in range(times):
        file.write(batch)
    file.close()
    return pq.ParquetFile(path).metadata


def test_vectors_are_stored_plain_and_other_columns_compressed_with_dictionaries(tmp_path):
    vectors = pa.array([[1.0, 2.0]] * 100, pa.list_(pa.float32(), 2))
    packed = pa.field("packed", pa.binary(2), metadata={"hub_tfx.dtype": "int8"})
    columns = {
        "vector": vectors,
        "ragged": pa.array([[1.5]] * 100, pa.large_list(pa.float64())),
        "text": ["cat"] * 100,
        "tags": [["a", "b"]] * 100,
        "lists": [[[1], [2]]] * 100,
        "struct": [{"a": "x", "b": [1.5], "c": [1]}] * 100,
        "map": pa.array([[("k", 1)]] * 100, pa.map_(pa.string(), pa.int64())),
    }
    schema = pa.schema([*pa.RecordBatch.from_pydict(columns).schema, packed])
    arrays = [*pa.RecordBatch.from_pydict(columns).columns, pa.array([b"ab"] * 100, pa.binary(2))]
    file = PART_FILES["parquet"](str(tmp_path / "p"), schema)
    file.write(pa.RecordBatch.from_arrays(arrays, schema=schema))
    file.close()
    group = pq.ParquetFile(tmp_path / "p").metadata.row_group(0)
    stored = {
        column.path_in_schema: (column.compression, "RLE_DICTIONARY" in column.encodings)
        for column in (group.column(n) for n in range(group.num_columns))
    }
    plain, packed_well = ("UNCOMPRESSED", False), ("SNAPPY", True)
    assert stored == {
        "vector.list.item": plain,
        "ragged.list.item": plain,
        "packed": plain,
        "text": packed_well,
        "tags.list.item": packed_well,
        "lists.list.item.list.item": packed_well,
        "struct.a": packed_well,
        "struct.b.list.item": plain,
        "struct.c.list.item": packed_well,
        "map.key_value.key": packed_well,
        "map.key_value.value": packed_well,
    }


def test_row_groups_are_many_rows_but_never_many_bytes(tmp_path):
    limits = EmbedLimits(row_group_rows=1000, row_group_bytes=10_000)
    for name, text, rows in (("small", "x", 1000), ("large", "x" * 500, 20)):
        metadata = write(tmp_path / name, {"text": [text] * 10}, 300, limits)
        groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
        assert set(groups) == {rows}
