"""Incremental jobs: what is unchanged is copied and not embedded, and nothing else is."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from part_names import untagged

from hub_tfx.data.readers import READERS
from hub_tfx.embed.call.inputs import Input
from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.limits import EmbedLimits
from hub_tfx.embed.output import sink
from hub_tfx.embed.plan import EmbedPlan
from hub_tfx.errors import ConfigError, DigestMismatchError, InputError, OutputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import TensorInfo
from hub_tfx.testing import image_module

WORDS = ["cat", "dog", "mat", "sat on", "", "hello wörld"]
KEEP = EmbedConfig(keep=("n",))


class Length(tf.Module):
    """``[length, position of the row in its call]``; fails on the word poison."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        tf.debugging.Assert(tf.reduce_all(inputs != b"poison"), ["poisoned"])
        lengths = tf.strings.length(inputs)
        return tf.cast(tf.stack([lengths, tf.range(tf.size(inputs))], axis=1), tf.float32)


class Twice(Length):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, inputs):
        return 2 * super().__call__(inputs)


def saved(module, path):
    tf.saved_model.save(module, str(path))
    return ResolvedModule.of_directory(path)


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return saved(Length(), tmp_path_factory.mktemp("length") / "module")


@pytest.fixture(scope="module")
def other_module(tmp_path_factory):
    return saved(Twice(), tmp_path_factory.mktemp("twice") / "module")


@pytest.fixture
def corpus(tmp_path):
    """Writes texts and a number for each."""

    def write(texts, numbers=None):
        path = tmp_path / "corpus.parquet"
        numbers = range(len(texts)) if numbers is None else numbers
        pq.write_table(pa.table({"n": list(numbers), "text": list(texts)}), path)
        return [str(path)]

    return write


def embedded(result):
    """Rows that a module was called with: rows of all calls, and not what the job says."""
    calls = result.metrics.get("batch_rows")
    return calls.sum if calls else 0


def rows_of(output, kind="embeddings"):
    manifest = json.loads(Path(output, "manifest.json").read_text())
    folder = Path(output, "" if kind == "embeddings" else kind)
    rows = []
    for file in manifest["files" if kind == "embeddings" else "dead_letter_files"]:
        path = str(folder / file["name"])
        reader = READERS[manifest["format"]]
        for batch in reader.read(path, reader.infer_schema(path), 1000):
            rows += batch.to_pylist()
    return rows


def number_and_length(output):
    """What was written, without the position, which depends on the call."""
    rows = ((row["n"], row["embedding"][0]) for row in rows_of(output))
    return [(n[0] if isinstance(n, list) else n, length) for n, length in rows]


def expected(texts, numbers=None):
    numbers = range(len(texts)) if numbers is None else numbers
    return [(n, len(text.encode())) for n, text in zip(numbers, texts, strict=True)]


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / "out")


@pytest.fixture
def before(tmp_path):
    return str(tmp_path / "before")


FORMATS = ["parquet", "tfrecord"]


@pytest.mark.parametrize("old", FORMATS)
@pytest.mark.parametrize("new", FORMATS)
def test_only_what_changed_is_embedded(module, corpus, before, out, old, new):
    first = embed_files(module, corpus(WORDS), before, KEEP, old)
    assert (first.rows, first.reused, embedded(first)) == (6, 0, 6)
    texts = ["new", "mat", "hello wörld", "cat", "longer"]  # Added, removed and reordered.
    again = embed_files(module, corpus(texts), out, KEEP, new, previous=before)
    assert (again.rows, again.reused, embedded(again)) == (5, 3, 2)
    assert again.metrics["reused"] == 3
    assert json.loads(Path(out, "manifest.json").read_text())["reused"] == 3
    assert number_and_length(out) == expected(texts)
    third = embed_files(module, corpus(WORDS[:3]), f"{out}-3", KEEP, previous=out)
    assert (third.reused, embedded(third)) == (2, 1)


def test_vectors_are_copied_bit_for_bit(module, corpus, before, out):
    embed_files(module, corpus(WORDS), before, KEEP)
    embed_files(module, corpus(WORDS[::-1]), out, KEEP, previous=before)
    assert [row["embedding"] for row in rows_of(out)] == [
        row["embedding"] for row in rows_of(before)
    ][::-1]


def test_kept_features_are_the_new_ones(module, corpus, before, out):
    embed_files(module, corpus(WORDS), before, KEEP)
    numbers = range(100, 106)
    again = embed_files(module, corpus(WORDS, numbers), out, KEEP, previous=before)
    assert (again.reused, embedded(again)) == (6, 0)
    assert number_and_length(out) == expected(WORDS, numbers)


def test_the_earlier_output_may_be_the_same_directory(module, corpus, out):
    for texts, reused in ((WORDS, 0), ([*WORDS[2:], "new"], 4), (WORDS, 4), (WORDS, 6)):
        result = embed_files(module, corpus(texts), out, KEEP, previous=f"{out}/")
        assert (result.reused, embedded(result)) == (reused, len(texts) - reused)
        assert number_and_length(out) == expected(texts)


def test_text_is_the_same_from_files_of_other_formats(module, corpus, tmp_path, before, out):
    embed_files(module, corpus(WORDS), before)
    texts = tmp_path / "corpus.csv"
    texts.write_text("id,text\n" + "".join(f'1,"{word}"\n' for word in WORDS))
    result = embed_files(module, [str(texts)], out, previous=before)
    assert (result.reused, embedded(result)) == (6, 0)


@pytest.mark.parametrize(
    "config",
    [
        replace(KEEP, batch_size=3),
        replace(KEEP, keep=("n", "text")),
        replace(KEEP, max_dead_letter_ratio=0.5),
        replace(KEEP, inputs={"inputs": "text"}),
        replace(KEEP, text_encoding="bytes"),
        replace(KEEP, deduplicate=True),
    ],
)
def test_a_config_that_gives_the_same_vectors_may_differ(module, corpus, before, out, config):
    embed_files(module, corpus(WORDS), before, KEEP)
    assert embed_files(module, corpus(WORDS), out, config, previous=before).reused == 6


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (replace(KEEP, outputs={"output_0": "vector"}, signature="serving_default"), "outputs"),
        (replace(KEEP, signature="serving_default"), "signature"),
        (replace(KEEP, normalize=True), "normalize"),
    ],
)
def test_a_config_that_gives_others_embeds_all_again(
    module, corpus, before, out, config, change, caplog
):
    embed_files(module, corpus(WORDS), before, KEEP)
    result = embed_files(module, corpus(WORDS), out, config, previous=before)
    assert (result.reused, embedded(result)) == (0, 6)
    assert change in warning(caplog)


def warning(caplog):
    """The one line of warning."""
    (record,) = [r for r in caplog.records if r.name.startswith("hub_tfx")]
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    return record.getMessage()


def test_another_module_embeds_all_again_and_says_so(
    module, other_module, corpus, before, out, caplog
):
    embed_files(module, corpus(WORDS), before, KEEP)
    result = embed_files(other_module, corpus(WORDS), out, KEEP, previous=before)
    assert (result.reused, embedded(result)) == (0, 6)
    assert number_and_length(out) == [(n, 2 * length) for n, length in expected(WORDS)]
    assert "rows are embedded: module changed since" in warning(caplog)


def test_an_output_without_digests_is_no_earlier_one(module, corpus, before, out, caplog):
    embed_files(module, corpus(WORDS), before, KEEP)
    change_manifest(before, lambda manifest: manifest.pop("made_with"))
    assert embed_files(module, corpus(WORDS), out, KEEP, previous=before).reused == 0
    assert "without digests" in warning(caplog)


def test_rejected_rows_are_tried_again(module, corpus, before, out):
    texts = [*WORDS, "poison", None]
    first = embed_files(module, corpus(texts), before, KEEP)
    assert (first.rows, first.dead_letters) == (6, 2)
    again = embed_files(module, corpus(texts), out, KEEP, previous=before)
    assert (again.rows, again.dead_letters, again.reused) == (6, 2, 6)
    assert embedded(again) == 1
    assert {row["n"] for row in rows_of(out, "dead_letters")} == {6, 7}
    fixed = embed_files(module, corpus([*WORDS, "poise", "x"]), out, KEEP, previous=out)
    assert (fixed.rows, fixed.dead_letters, fixed.reused) == (8, 0, 6)


def test_many_parts_and_workers(module, corpus, before, out):
    limits = EmbedLimits(window_rows=1, part_bytes=1, chunk_rows=5, previous_rows=3)
    texts = [f"{'x' * n}" for n in range(30)]
    config = replace(KEEP, batch_size=4)
    embed_files(module, corpus(texts), before, config, limits=limits)
    assert len(list(Path(before, "digests").iterdir())) == 8
    mixed = [text if n % 7 else f"new {n}" for n, text in enumerate(texts)]
    result = embed_files(module, corpus(mixed), out, config, previous=before, limits=limits)
    assert (result.reused, embedded(result)) == (25, 5)
    assert number_and_length(out) == expected(mixed)
    assert untagged(p.name for p in Path(out, "digests").iterdir()) == [
        f"digests-{n:05d}-of-00008.bin" for n in range(8)
    ]


@pytest.mark.long
def test_two_worker_processes_reuse_too(module, corpus, before, out):
    embed_files(module, corpus(WORDS), before, KEEP)
    result = embed_files(
        module,
        corpus([*WORDS, "new"]),
        out,
        KEEP,
        previous=before,
        beam_options=["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
    )
    assert (result.rows, result.reused) == (7, 6)


def test_empty_outputs_may_be_earlier_ones(module, corpus, before, out):
    embed_files(module, corpus([]), before)
    result = embed_files(module, corpus(WORDS), out, previous=before)
    assert (result.rows, result.reused) == (6, 0)
    result = embed_files(module, corpus([]), out, previous=out)
    assert (result.rows, result.reused) == (0, 0)


def test_image_files_are_known_by_what_they_hold(tmp_path, before, out):
    module = ResolvedModule.of_directory(image_module(tmp_path / "module"))
    folder = tmp_path / "images"
    folder.mkdir()
    table = pa.table({"path": [str(folder / f"{n}.png") for n in range(4)], "n": range(4)})
    pq.write_table(table, tmp_path / "paths.parquet")

    def save(number, seed):
        pixels = np.random.default_rng(seed).integers(0, 256, [8, 8, 3], np.uint8)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())

    def embed(output, **more):
        config = EmbedConfig(image_source="path", keep=("path", "n"))
        return embed_files(module, [str(tmp_path / "paths.parquet")], output, config, **more)

    for n in range(3):
        save(n, n)
    assert (embed(before).rows, embedded(embed(before))) == (3, 3)
    save(0, 9)  # Another image of the same size.
    save(1, 2)  # One that is known by another name.
    save(3, 0)
    result = embed(out, previous=before)
    assert (result.rows, result.reused, embedded(result)) == (4, 3, 1)
    old, new = ({row["n"]: row["embedding"] for row in rows_of(o)} for o in (before, out))
    assert (new[1], new[2], new[3]) == (old[2], old[2], old[0])
    assert new[0] not in old.values()
    assert {row["path"] for row in rows_of(out)} == {str(folder / f"{n}.png") for n in range(4)}


def test_a_run_that_was_finished_by_the_next_one_is_an_earlier_output_too(
    module, tmp_path, before, out, monkeypatch
):
    limits = EmbedLimits(min_unit_bytes=1, block_s=0, window_rows=1)
    for file in range(3):
        lines = [json.dumps({"n": n, "text": "x" * (10 * file + n)}) + "\n" for n in range(10)]
        (tmp_path / f"{file}.jsonl").write_text("".join(lines))
    config = replace(KEEP, batch_size=4)

    def embed(output, inputs="?", **more):
        paths = [f"{tmp_path}/{inputs}.jsonl"]
        return embed_files(module, paths, output, config, limits=limits, **more)

    embed(before, "1")
    writes = iter(range(5))
    real = sink.PartWriter.write

    def full_after_five(self, batch):
        if next(writes, None) is None:
            raise OSError(28, "No space left on device")
        real(self, batch)

    with monkeypatch.context() as patch, pytest.raises(OutputError):  # noqa: PT012
        patch.setattr(sink.PartWriter, "write", full_after_five)
        embed(out, previous=before)
    result = embed(out, previous=before)
    assert (result.rows, result.reused) == (30, 10)
    assert result.resumed > 0
    assert sorted(number_and_length(out)) == sorted(
        (n, 10 * file + n) for file in range(3) for n in range(10)
    )
    assert embed(f"{out}-3", previous=out).reused == 30


# --- Damage --------------------------------------------------------------------------------------


def change_manifest(output, change):
    path = Path(output, "manifest.json")
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("pattern", ["embeddings-*", "digests/*"])
@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_earlier_output_is_refused_and_the_fix_named(
    module, corpus, before, out, output_format, pattern, damage
):
    embed_files(module, corpus(WORDS), before, KEEP, output_format)
    (path,) = Path(before).glob(pattern)
    damage(path)
    with pytest.raises(
        (DigestMismatchError, InputError), match=f"{path}.*leave the earlier output out"
    ):
        embed_files(module, corpus(WORDS), out, KEEP, previous=before)
    assert not Path(out).exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text("{}"),
        lambda path: change_manifest(path.parent, lambda manifest: manifest.pop("files")),
        lambda path: change_manifest(path.parent, lambda m: m["files"][0].pop("digests_sha256")),
    ],
)
def test_a_damaged_manifest_is_refused_and_the_fix_named(module, corpus, before, out, damage):
    embed_files(module, corpus(WORDS), before, KEEP)
    damage(Path(before, "manifest.json"))
    with pytest.raises(InputError, match=f"{before} .*leave the earlier output out"):
        embed_files(module, corpus(WORDS), out, KEEP, previous=before)


def test_digests_of_other_rows_are_refused(module, corpus, before, out):
    embed_files(module, corpus(WORDS), before, KEEP)
    change_manifest(before, lambda manifest: manifest["files"][0].update(rows=5))
    with pytest.raises(InputError, match="has 6 rows and 6 digests, not 5"):
        embed_files(module, corpus(WORDS), out, KEEP, previous=before)


def test_an_earlier_output_that_is_not_there_is_an_error_but_in_the_first_run(
    module, corpus, before, out, caplog
):
    with pytest.raises(InputError, match=f"no earlier output in {before}"):
        embed_files(module, corpus(WORDS), out, KEEP, previous=before)
    assert embed_files(module, corpus(WORDS), out, KEEP, previous=out).rows == 6
    assert "no earlier output in" in warning(caplog)


def test_an_earlier_output_of_this_machine_is_out_of_reach_for_dataflow(module, corpus, before):
    with pytest.raises(ConfigError, match=f"Dataflow cannot reach {before}"):
        embed_files(
            module,
            corpus(WORDS),
            "gs://bucket/out",
            previous=before,
            beam_options=["--runner=DataflowRunner"],
        )


def test_a_failed_run_leaves_the_earlier_output_as_it_was(module, corpus, out, monkeypatch):
    embed_files(module, corpus(WORDS), out, KEEP)
    files = {path: path.read_bytes() for path in Path(out).rglob("*.*")}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sink.PartWriter, "write", full)
    with pytest.raises(OutputError):
        embed_files(module, corpus([*WORDS, "new"]), out, KEEP, previous=out)
    assert {path: path.read_bytes() for path in Path(out).rglob("*.*")} == files


# --- Duplicates ----------------------------------------------------------------------------------

ONCE = replace(KEEP, deduplicate=True, batch_size=4)


def test_duplicates_are_embedded_once(module, corpus, out):
    texts = ["cat", "dog", "cat", "cat", "mat", "dog", "new", "cat", "poison", "poison"]
    result = embed_files(module, corpus(texts), out, ONCE, limits=EmbedLimits(window_rows=1))
    assert (result.rows, result.dead_letters, result.duplicates) == (8, 2, 4)
    assert result.metrics["duplicates"] == 4
    assert embedded(result) == 5  # cat, dog, mat, new and poison, whose both rows are in one call.
    assert number_and_length(out) == expected(texts[:8])
    letters = rows_of(out, "dead_letters")
    assert [row["n"] for row in letters] == [8, 9]
    assert letters[0]["reason"] == letters[1]["reason"]


def test_without_asking_duplicates_are_embedded_each(module, corpus, out):
    result = embed_files(module, corpus(["cat"] * 5), out, KEEP)
    assert (result.duplicates, embedded(result)) == (0, 5)


def test_reused_rows_are_told_from_duplicates(module, corpus, before, out):
    embed_files(module, corpus(["cat"]), before, ONCE)
    texts = ["cat", "dog", "cat", "dog", "dog"]
    result = embed_files(module, corpus(texts), out, ONCE, previous=before)
    assert (result.reused, result.duplicates, embedded(result)) == (2, 2, 1)
    assert number_and_length(out) == expected(texts)


@given(st.lists(st.integers(0, 5), max_size=30), st.sets(st.integers(0, 5)), st.booleans())
def test_each_row_gets_its_own_result(rows, known_values, deduplicate):
    from hub_tfx.embed import digests
    from hub_tfx.embed.reuse.copy import embed_unknown
    from hub_tfx.embed.reuse.known import KnownRows
    from hub_tfx.embed.rows import EmbeddedRows

    def of(values):
        return digests.of_rows([digests.of_values(bytes([value]) for value in values)])

    def column(values):
        return {"v": pa.array(list(values), pa.int64())}

    seen = []

    def embed(indices):
        values = [rows[index] for index in indices]
        seen.extend(values)
        good = np.array([n for n, value in enumerate(values) if value != 3], np.int64)
        rejected = {n: "three" for n, value in enumerate(values) if value == 3}
        return EmbeddedRows(good, column(values[n] for n in good), rejected)

    store = KnownRows(pa.schema([("v", pa.int64())]))
    store.add(of(sorted(known_values)), column(sorted(known_values)))
    store.earlier = store.rows
    done = embed_unknown(store, of(rows), embed, deduplicate=deduplicate)
    good = [n for n, value in enumerate(rows) if value != 3 or 3 in known_values]
    assert done.rows.tolist() == good
    assert done.columns.get("v", pa.array([])).to_pylist() == [rows[n] for n in good]
    assert sorted(done.rejected) == [n for n in range(len(rows)) if n not in good]
    new = [value for value in rows if value not in known_values]
    assert sorted(seen) == sorted(set(new) if deduplicate else new)
    assert done.reused == len(rows) - len(new)
    assert done.duplicates == len(good) - done.reused - len([v for v in seen if v != 3])
    assert done.digests.tolist() == of(rows).take(good, axis=0).tolist()


# --- Digests of inputs ---------------------------------------------------------------------------


def digests_of(rows, column_type, info):
    plan = EmbedPlan("s", {"x": "f"}, {"x": info}, (), ())
    return Input("x", plan, EmbedConfig(), column_type).digests(pa.array(rows, column_type))


small = st.integers(0, 2)
KINDS = {
    "text": (st.sampled_from(["", "a", "ab"]), pa.string(), TensorInfo("string", (None,))),
    "words": (
        st.lists(st.sampled_from(["", "a", "ab"]), min_size=1, max_size=3),
        pa.list_(pa.string()),
        TensorInfo("string", (None, None)),
    ),
    "pair": (
        st.lists(small, min_size=2, max_size=2),
        pa.list_(pa.int64(), 2),
        TensorInfo("int32", (None, 2)),
    ),
    "floats": (
        st.lists(st.sampled_from([0.0, 0.5, 1.0]), max_size=3),
        pa.large_list(pa.float64()),
        TensorInfo("float32", (None, None), "sparse"),
    ),
    "ragged": (
        st.lists(st.lists(small, max_size=2), max_size=3),
        pa.list_(pa.list_(pa.int32())),
        TensorInfo("int64", (None, None, None), "ragged", 2),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_rows_have_one_digest_where_they_feed_the_same_and_only_there(kind, data):
    values, column_type, info = KINDS[kind]
    rows = data.draw(st.lists(values, min_size=1, max_size=6))
    made = digests_of(rows, column_type, info)
    assert [made[n] == made[m] for n in range(len(rows)) for m in range(n)] == [
        rows[n] == rows[m] for n in range(len(rows)) for m in range(n)
    ]
    assert made == [digests_of([row], column_type, info)[0] for row in rows]


def test_the_digest_is_of_what_is_fed_and_not_of_how_it_is_stored():
    numbers = TensorInfo("float32", (None, 2))
    types = [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.int8(), 2)]
    assert len({tuple(digests_of([[1, 2], [3, 4]], t, numbers)) for t in types}) == 1
    text = TensorInfo("string", (None,))
    types = [pa.string(), pa.binary(), pa.large_string(), pa.large_binary()]
    assert len({tuple(digests_of(["a", "ü"], t, text)) for t in types}) == 1
    in_lists = digests_of([["a"], ["ü"]], pa.large_list(pa.large_binary()), text)
    assert in_lists == digests_of(["a", "ü"], pa.string(), text)


@pytest.mark.parametrize("previous", ["./o", "o/", "../here/o", "link"])
def test_an_output_that_is_its_own_earlier_one_may_be_named_in_any_way(
    module, corpus, tmp_path, monkeypatch, previous
):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to("o")
    source = corpus(WORDS)
    monkeypatch.chdir(tmp_path / "here")
    assert embed_files(module, source, "o", KEEP, previous=previous).reused == 0
    assert embed_files(module, source, "o", KEEP, previous=previous).reused == len(WORDS)
