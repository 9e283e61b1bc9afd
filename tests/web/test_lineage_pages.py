"""Lineages in pages: what ML Metadata and facts know, drawn and as lists."""

from pathlib import Path

import pytest
from recorded_runs import RecordedRun, new_sqlite
from serving import client_of, opened_site

from hub_tfx.lineage.connection import Connection
from hub_tfx.repository.facts import Origin
from hub_tfx.repository.names import Reference
from hub_tfx.repository.storage import Storage
from hub_tfx.repository.versions import find
from hub_tfx.web.pages.drawing import drawn
from hub_tfx.web.pages.graph import MAX_NODES, Edge, Graph, Node, collapsed
from hub_tfx.web.pages.links import Link, Place, handle_link, origin

PLACE = Place("https://hub.example.org", "/srv/modules")
MODULE = "hub_tfx.HubModule"


@pytest.mark.parametrize(
    ("handle", "link"),
    [
        ("repo+/srv/modules//acme/words/3", Link("acme/words/3", "/acme/words/3")),
        ("repo+s3://others//acme/words/3", Link("acme/words/3")),
        ("https://hub.example.org/acme/words/3", Link("acme/words/3", "/acme/words/3")),
        ("https://tfhub.dev/google/nnlm/2",) * 2,
        ("http://intranet/x/1", Link("http://intranet/x/1")),
        ("/home/ann/secret/words", Link("words")),
        ("javascript:alert(1)", Link("javascript:alert(1)")),
    ],
)
def test_a_handle_tells_nothing_of_a_disk(handle: str, link: Link | str) -> None:
    expected = Link(link, link) if isinstance(link, str) else link
    assert handle_link(PLACE, handle) == expected


def test_a_parent_without_a_handle_is_known_by_its_digest() -> None:
    assert origin(PLACE, Origin("ab" * 32)) == Link("module abababababab", None, "ab" * 32)


def test_lineage_of_a_module_as_ml_metadata_knows_it(demo_storage: Storage, tmp_path: Path) -> None:
    digest = find(demo_storage, Reference.parse("search/headlines/3")).digest
    path = str(tmp_path / "metadata.sqlite")
    run = RecordedRun(new_sqlite(path), "retrain", "run-1")
    handle = f"repo+{demo_storage.url}//search/headlines/2"
    base = run.step("ModuleResolver", {"module": (MODULE, {"handle": handle, "digest": "c" * 64})})
    examples = run.step("ImportExampleGen", {"examples": ("Examples", {"span": 7})})
    tuned = run.step(
        "ModuleTrainer",
        {"module": (MODULE, {"digest": digest, "parent_digest": "c" * 64})},
        {"base_module": base["module"], "examples": examples["examples"]},
    )
    for rows in range(10, 15):
        made = ("hub_tfx.Embeddings", {"rows": rows, "module_digest": digest})
        run.step(f"EmbeddingGenerator.{rows}", {"embeddings": made}, tuned, type_name="Generator")
    connection = Connection.sqlite(path)
    with opened_site(demo_storage, tmp_path, metadata=connection) as site:
        client = client_of(site)
        document = client.get("/-/lineage/search/headlines/3.json").json()
        page = client.get("/search/headlines/3")
    assert document["by_metadata"]
    titles = {node["title"]: node["generation"] for node in document["graph"]["nodes"]}
    assert titles == {
        "search/headlines/2": -1, "examples": -1, "search/headlines/3": 0, "5 × Embeddings": 1
    }  # fmt: skip
    assert {edge.get("by") for edge in document["graph"]["edges"]} == {"ModuleTrainer", "Generator"}
    assert page.status_code == 200
    assert "5 × Embeddings" in page.text
    assert '<a href="/search/headlines/2"><bdi>search/headlines/2</bdi></a>' in page.text


def test_a_large_lineage_keeps_what_is_near() -> None:
    here = Node("here", "here", 0)
    far = [Node(f"n{i}", f"n{i}", 1 + i // 40, f"kind {i}") for i in range(100)]
    edges = [Edge("here" if i < 40 else f"n{i - 40}", f"n{i}") for i in range(100)]
    graph = collapsed(Graph("here", (here, *far), tuple(edges)))
    assert len(graph.nodes) == MAX_NODES
    assert graph.cut
    assert {f"n{i}" for i in range(40)} < {node.id for node in graph.nodes}
    assert all({edge.source, edge.target} <= graph.by_id.keys() for edge in graph.edges)


def test_what_occurs_again_is_not_continued_in_lists() -> None:
    nodes = [Node(name, name, generation) for name, generation in (("a", -2), ("b", -1), ("c", -1))]
    edges = [Edge("a", "b"), Edge("a", "c"), Edge("b", "r"), Edge("c", "r")]
    graph = Graph("r", (*nodes, Node("r", "r", 0)), tuple(edges))
    first, second = graph.ancestors
    assert (first.branches[0].node.id, second.branches[0].node.id) == ("a", "a")
    assert graph.descendants == ()


def test_a_drawing_has_a_column_for_each_generation_and_no_overlap() -> None:
    nodes = [Node(f"n{i}", "a very long name of a module" * 3, i % 3 - 1) for i in range(12)]
    graph = Graph("n1", tuple(nodes), (Edge("n0", "n1"), Edge("n1", "n2")))
    drawing = drawn(graph)
    assert len({box.x for box in drawing.boxes}) == 3
    assert len({(box.x, box.y) for box in drawing.boxes}) == 12
    assert all(0 <= box.x <= drawing.width - drawing.box_width for box in drawing.boxes)
    assert all(0 <= box.y <= drawing.height - drawing.box_height for box in drawing.boxes)
    assert max(len(box.title) for box in drawing.boxes) <= 26
