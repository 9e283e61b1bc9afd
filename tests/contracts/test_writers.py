"""Every part file of ours keeps the contract of writers."""

from hub_tfx.data.readers import READERS
from hub_tfx.embed.output.writers import PART_FILES
from hub_tfx.testing.writers import WriterContract


class TestParquetFile(WriterContract):
    part_file = PART_FILES["parquet"]
    reader = READERS["parquet"]


class TestExampleFile(WriterContract):
    part_file = PART_FILES["tfrecord"]
    reader = READERS["tfrecord"]
    nests = False

    def stored(self, value):
        """In tf.Example every feature is a list, in which text is bytes; a null is an empty one."""
        values = [] if value is None else value if isinstance(value, list) else [value]
        return [one.encode() if isinstance(one, str) else one for one in values]
