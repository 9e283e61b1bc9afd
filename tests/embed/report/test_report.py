"""The report of a job and TensorBoard's projector files, from outputs in each format."""

import csv
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.output.layout import OutputLayout, read_manifest
from hub_tfx.embed.report import report
from hub_tfx.embed.report.report import write_projector, write_report
from hub_tfx.embed.rows import count_sizes, size_edges
from hub_tfx.errors import OutputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import WORDS, text_module

TEXTS = [
    *(f"{one} {other}" for one in WORDS for other in WORDS),
    "cat\tand <b>dog</b>",
    "zzz",
    "zzz",
    "\udcff",
]


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("module") / "text"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "in.csv"
    with open(path, "w", errors="surrogateescape") as file:
        csv.writer(file).writerows([("text",), *((text,) for text in TEXTS)])
    return str(path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory, module, source):
    """The result of a job with a report and projector files, and its output, which none changes."""
    output, config = tmp_path_factory.mktemp("reported") / "out", EmbedConfig(batch_size=3)
    result = embed_files(module, [source], str(output), config, report=True, projector=True)
    return result, output


@pytest.fixture
def output(reported, tmp_path):
    """A copy of the output of ``reported``."""
    return shutil.copytree(reported[1], tmp_path / "out")


def test_what_rows_feed_is_counted_by_size(reported):
    result, output = reported
    fed = sorted(len(text.encode()) for text in TEXTS[:-1])
    manifest = json.loads((output / "manifest.json").read_text())
    sizes = [size for size, _ in manifest["row_bytes"]]
    found = np.searchsorted(sizes, fed, side="right") - 1
    assert [rows for _, rows in manifest["row_bytes"]] == np.bincount(found).tolist()
    assert 'alt="Bytes that a row feeds"' in (output / "report/report.html").read_text()
    assert result.metrics["fed_bytes"] == sum(fed)
    assert result.metrics["module_loads"] == 1
    assert result.metrics["module_us"] > 0


def test_the_rows_of_calls_are_told(reported):
    result, output = reported
    said = json.loads((output / "report/report.json").read_text())["calls"]
    calls = result.metrics["batch_rows"]
    assert said == {"count": calls.count, "sum": len(TEXTS) - 1, "min": calls.min, "max": 3}
    shown = f"{calls.min} to 3, {calls.sum / calls.count:.1f} on average"
    assert shown in (output / "report/report.html").read_text()


@given(st.lists(st.integers(0, 1 << 40), min_size=1))
def test_each_row_is_counted_in_the_size_it_has(row_bytes):
    counts = {int(size): rows for size, rows in count_sizes(np.array(row_bytes)).items()}
    edges = size_edges(min(counts), max(counts))
    drawn, _ = np.histogram(np.maximum(row_bytes, 1), bins=edges.astype(float))
    assert drawn.tolist() == [counts.get(edge, 0) for edge in edges[:-1].tolist()]


def job(module, source, output, output_format="parquet", **config):
    embed_files(module, [source], str(output), EmbedConfig(**config), output_format)
    return OutputLayout.of_directory(str(output), output_format)


@pytest.fixture(scope="module")
def layout(tmp_path_factory, module, source):
    """An output that keeps the texts."""
    return job(module, source, tmp_path_factory.mktemp("kept") / "out", keep=("text",))


@pytest.mark.parametrize(
    ("output_format", "output_dtype"),
    [("parquet", "float32"), ("tfrecord", "float32"), ("parquet", "int8"), ("tfrecord", "float16")],
)
def test_a_report_says_what_was_embedded(tmp_path, module, source, output_format, output_dtype):
    layout = job(
        module, source, tmp_path / "out", output_format, keep=("text",), output_dtype=output_dtype
    )
    page = write_report(layout, str(tmp_path / "report"))
    with open(page) as file:
        html = file.read()
    said = json.loads((tmp_path / "report" / "report.json").read_text())
    assert f"{len(TEXTS) - 1:,} rows embedded, 1 rejected." in html
    assert "2 vectors of embedding are all zeros" in html
    assert said["rejected"] == [
        {
            "rows": 1,
            "reason": "column 'text' is not valid UTF-8",
            "example": f"{source}:{len(TEXTS)}",
        }
    ]
    vectors = said["vectors"]["embedding"]
    assert (vectors["dimensions"], vectors["zero_rows"]) == (4, 2)
    assert module.digest in html


HOSTILE = '<script>alert(1)</script> "quoted" & \x1b[2J\u202e'


def test_a_page_needs_nothing_else_and_trusts_no_text(tmp_path, module):
    """Every row is among those shown, and so is the reason of one that was rejected."""
    source = tmp_path / "<b>in.csv"
    with open(source, "w", newline="", errors="surrogateescape") as file:
        csv.writer(file).writerows([("text",), *[(HOSTILE,)] * 5, ("\udcff",)])
    page = write_report(job(module, str(source), tmp_path / "out", keep=("text",)), str(tmp_path))
    with open(page) as file:
        html = file.read()
    assert not re.search(r"(src|href)=\"(?!data:image/svg)", html)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;b&gt;in.csv" in html
    assert not re.search("<script|<b>|\x1b|\u202e", html)


KEPT = "label,id,text\n" + "".join(
    f"{'ab'[n % 2]}_$x$,{'id' * 30}{n},{one} {other} <b>\n"
    for n, (one, other) in enumerate((one, other) for one in WORDS for other in WORDS)
)


@pytest.mark.parametrize("output_format", ["parquet", "tfrecord"])
def test_neighbours_are_shown_by_their_text_and_points_coloured_by_a_label(
    tmp_path, module, output_format
):
    (tmp_path / "in.csv").write_text(KEPT)
    kept = ("label", "id", "text")
    layout = job(module, str(tmp_path / "in.csv"), tmp_path / "out", output_format, keep=kept)
    with open(write_report(layout, str(tmp_path / "report"))) as file:
        html = file.read()
    nearest = html[html.index("Nearest in the sample") : html.index("Where it came from")]
    assert re.search(r"<td>\w+ \w+ &lt;b&gt;</td><td>\w+ \w+ &lt;b&gt; \(-?\d\.\d", nearest)
    assert "on its two principal components, coloured by label" in html
    assert f"<td>a_$x$</td><td>{-(-(len(WORDS) ** 2) // 2)}</td>" in html


def test_without_a_kept_feature_rows_are_numbers_and_points_have_one_colour(
    tmp_path, module, source
):
    with open(write_report(job(module, source, tmp_path / "out"), str(tmp_path))) as file:
        html = file.read()
    assert re.search(r"<td>row \d+</td><td>row \d+ \(", html)
    assert "coloured by" not in html


def test_the_same_output_gives_the_same_bytes(tmp_path, layout):
    pages = [write_report(layout, str(tmp_path / name)) for name in "ab"]
    one, other = (open(page, "rb").read() for page in pages)  # noqa: SIM115
    assert one == other


def test_an_output_without_a_row_has_a_report(tmp_path, module):
    (tmp_path / "in.csv").write_text("text\n")
    layout = job(module, str(tmp_path / "in.csv"), tmp_path / "out")
    with open(write_report(layout, str(tmp_path / "report"))) as file:
        assert "0 rows embedded, 0 rejected." in file.read()


def test_projector_files_are_what_was_embedded(tmp_path, layout):
    write_projector(layout, str(tmp_path / "projector"))
    table = pq.read_table(layout.parts_there("embeddings"))
    vectors = np.loadtxt(tmp_path / "projector" / "embedding.tsv", delimiter="\t")
    np.testing.assert_allclose(vectors, np.stack(table["embedding"].to_numpy()), rtol=1e-5)
    lines = (tmp_path / "projector" / "metadata-embedding.tsv").read_text().splitlines()
    metadata = [line.split("\t") for line in lines]
    assert metadata[0] == ["row", "text", "norm"]
    assert {len(line) for line in metadata} == {3}
    assert [line[1] for line in metadata[1:4]] == table["text"].to_pylist()[:3]
    assert "cat and <b>dog</b>" in (line[1] for line in metadata)


def test_tensorboard_reads_the_projector_config(reported):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    projector = reported[1] / "projector"
    text = (projector / "projector_config.pbtxt").read_text()
    embedding = text_format.Parse(text, ProjectorConfig()).embeddings[0]
    assert (projector / embedding.tensor_path).exists()
    assert (projector / embedding.metadata_path).exists()


ODD_NAMES = {
    'a" metadata_path: "/etc/passwd': "a__metadata_path____etc_passwd.tsv",
    "a\n}\nembeddings {": None,
    "../../x/y": ".._.._x_y.tsv",
    "..\\..\\x\\y": ".._.._x_y2.tsv",
    "é\x1b[2J\t" * 50: None,
}


def test_names_that_a_module_made_up_stay_names_in_the_config_of_the_projector(tmp_path, module):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    (tmp_path / "in.jsonl").write_text('{"a\\tb": "x\\ty", "text": "cat dog"}\n' * 3)
    layout = job(module, str(tmp_path / "in.jsonl"), tmp_path / "out", keep=("a\tb",))
    manifest = read_manifest(layout)
    (about,) = manifest.columns.values()
    named = dict.fromkeys(ODD_NAMES, about)
    folder = tmp_path / "projector"
    with pytest.MonkeyPatch.context() as patch:  # Of a module whose outputs have these names.
        patch.setattr(report, "read_manifest", lambda layout: replace(manifest, columns=named))
        vectors = np.eye(3, about.shape[0], dtype=np.float32)
        patch.setattr(report, "_vectors", lambda layout, manifest, name: iter([vectors]))
        write_projector(layout, str(folder))
    text = (folder / "projector_config.pbtxt").read_text()
    found = text_format.Parse(text, ProjectorConfig()).embeddings
    assert [embedding.tensor_name for embedding in found] == list(ODD_NAMES)
    for embedding, expected in zip(found, ODD_NAMES.values(), strict=True):
        assert expected in (None, embedding.tensor_path)
        assert (folder / embedding.tensor_path).parent == folder
        assert (folder / embedding.tensor_path).is_file()
        lines = (folder / embedding.metadata_path).read_text().splitlines()
        assert {line.count("\t") for line in lines} == {2}
    assert len({embedding.tensor_path for embedding in found}) == len(ODD_NAMES)
    assert len(list(folder.iterdir())) == 2 * len(ODD_NAMES) + 2  # The config, and the list.


def test_a_job_writes_them_on_request_and_keeps_no_old_ones(output, module, source):
    assert (output / "report" / "report.html").exists()
    assert (output / "projector" / "projector_config.pbtxt").exists()
    embed_files(module, [source], str(output))
    assert not (output / "report").exists()
    assert not (output / "projector").exists()


@pytest.mark.parametrize("folder", ["report", "projector"])
def test_a_file_that_somebody_put_beside_them_is_not_removed(output, module, source, folder):
    notes = output / folder / "notes.txt"
    notes.write_text("mine")
    before = sorted(output.rglob("*"))
    with pytest.raises(OutputError, match=rf"holds '{folder}/notes.txt', which hub-tfx did not"):
        embed_files(module, [source], str(output), report=True)
    assert sorted(output.rglob("*")) == before


def test_a_list_of_files_of_theirs_names_none_elsewhere(tmp_path, output, module, source):
    (tmp_path / "thesis.txt").write_text("mine")
    listed = {"made_by": "hub_tfx", "files": ["../../thesis.txt", "report.html", "report.json", 7]}
    (output / "report" / ".hub_tfx.json").write_text(json.dumps(listed))
    embed_files(module, [source], str(output))
    assert (tmp_path / "thesis.txt").exists()
    assert not (output / "report").exists()


def test_a_report_of_hub_tfx_0_1_is_replaced(output, module, source):
    (output / "report" / ".hub_tfx.json").unlink()
    embed_files(module, [source], str(output))
    assert not (output / "report").exists()
