"""Every reader of ours keeps the contract of readers."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from hub_tfx.data.readers import READERS
from hub_tfx.testing.readers import ReaderContract


class TestTextReader(ReaderContract):
    reader = READERS["txt"]
    suffix = ".txt"

    def write(self, path, texts):
        lines = [b"\xff\xfe" if text is None else text.encode() for text in texts]
        path.write_bytes(b"".join(line + b"\n" for line in lines))


class TestCsvReader(ReaderContract):
    reader = READERS["csv"]
    suffix = ".csv"

    def write(self, path, texts):
        rows = [["too", "many"] if text is None else [text] for text in texts]
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["text"], *rows])

    def write_empty_column(self, path, texts):
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([["text", "empty"], *([text, ""] for text in texts)])


class TestJsonLinesReader(ReaderContract):
    reader = READERS["jsonl"]
    suffix = ".jsonl"

    def write(self, path, texts):
        lines = ["{oops" if text is None else json.dumps({"text": text}) for text in texts]
        path.write_text("".join(f"{line}\n" for line in lines))

    def write_empty_column(self, path, texts):
        lines = [json.dumps({"text": text, "empty": None}) for text in texts]
        path.write_text("".join(f"{line}\n" for line in lines))


class TestParquetReader(ReaderContract):
    reader = READERS["parquet"]
    suffix = ".parquet"
    gzips = rejects = False
    framed = True

    def write(self, path, texts):
        columns = {"text": pa.array(texts, pa.string()), "other": pa.array(texts, pa.string())}
        pq.write_table(pa.table(columns), path, row_group_size=50)

    def write_empty_column(self, path, texts):
        pq.write_table(pa.table({"text": texts, "empty": pa.nulls(len(texts))}), path)


class TestExampleReader(ReaderContract):
    reader = READERS["tfrecord"]
    suffix = ".tfrecord"
    framed = True

    def write(self, path, texts):
        with tf.io.TFRecordWriter(str(path)) as writer:
            for text in texts:
                writer.write(b"\xff\xff" if text is None else _example(text))

    def value(self, text):
        return [text.encode()]


def _example(text):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
    features = tf.train.Features(feature={"text": feature})
    return tf.train.Example(features=features).SerializeToString()
