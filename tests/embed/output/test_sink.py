"""Parts on their way to a bucket leave nothing on this machine, whatever fails."""

import gc
import os
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pytest
from commits import layout_of

from hub_tfx.data.marks import Position
from hub_tfx.embed.output.layout import EMBEDDINGS
from hub_tfx.embed.output.sink import PartWriter, WriteParts
from hub_tfx.testing.misbehaving import MisbehavingFileSystem, misbehaving

_ROWS = pa.RecordBatch.from_pydict({"n": [1, 2]})
_LAYOUT = layout_of("misbehaving://out", "0")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files, and a bucket."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    with MisbehavingFileSystem.at(tmp_path / "bucket"):
        yield tmp_path / "tmp"


def writer():
    return PartWriter(EMBEDDINGS, _LAYOUT, _ROWS.schema, Position())


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_part_that_was_uploaded_or_could_not_be_leaves_no_copy(temporary, fails):
    part = writer()
    part.write(_ROWS)
    with misbehaving(fails=fails):
        if fails:
            with pytest.raises(OSError, match="create failed"):
                part.finish()
        else:
            part.finish()
    assert not list(temporary.iterdir())


def test_a_part_that_nobody_finishes_leaves_no_copy(temporary):
    part = writer()
    part.write(_ROWS)
    assert list(temporary.iterdir())
    del part
    gc.collect()
    assert not list(temporary.iterdir())


def test_what_killed_workers_left_is_removed_by_its_age(temporary):
    days_ago = time.time() - 2 * 24 * 3600
    for name in ("hub_tfx-part-old", "hub_tfx-part-young", "somebody's"):
        Path(temporary, name).write_text("half")
    for name in ("hub_tfx-part-old", "somebody's"):
        os.utime(temporary / name, (days_ago, days_ago))
    WriteParts(EMBEDDINGS, _LAYOUT)._write.setup()
    assert sorted(os.listdir(temporary)) == ["hub_tfx-part-young", "somebody's"]
