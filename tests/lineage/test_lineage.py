"""`hub-tfx lineage`, on ML Metadata that is made by hand."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ml_metadata.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

from hub_tfx._text import printable
from hub_tfx.cli.main import run
from hub_tfx.errors import InputError
from hub_tfx.lineage.draw import as_dot, as_mermaid, as_text
from hub_tfx.lineage.graph import (
    ArtifactNode,
    Event,
    Lineage,
    Step,
    ancestors_of,
    artifacts_with_digest,
    lineage_of,
)
from hub_tfx.lineage.store import open_sqlite
from hub_tfx.module.manifest import Manifest
from hub_tfx.testing import minimal_module

_MODULE = "hub_tfx.HubModule"
_D1, _D2, _D3, _OTHER = ("1" * 64, "2" * 64, "3" * 64, "12" + "f" * 62)


@dataclass
class _Run:
    """Writes what TFX writes."""

    path: Path
    store: MetadataStore = field(init=False)

    def __post_init__(self) -> None:
        config = mlmd.ConnectionConfig()
        config.sqlite.filename_uri = str(self.path)
        config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = MetadataStore(config)
        type_id = self.store.put_context_type(mlmd.ContextType(name="pipeline_run"))
        [self.context] = self.store.put_contexts([mlmd.Context(type_id=type_id, name="run-1")])

    def artifact(self, type_name: str, uri: str, **stamped: str | int) -> int:
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=type_name))
        artifact = mlmd.Artifact(type_id=type_id, uri=uri)
        for name, value in stamped.items():
            if isinstance(value, int):
                artifact.custom_properties[name].int_value = value
            else:
                artifact.custom_properties[name].string_value = value
        [artifact_id] = self.store.put_artifacts([artifact])
        return artifact_id

    def module(self, uri: str, digest: str, **stamped: str | int) -> int:
        return self.artifact(_MODULE, uri, digest=digest, **stamped)

    def step(
        self, name: str, inputs: dict[str, int], outputs: dict[str, int], cached: bool = False
    ) -> int:
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=f"hub_tfx.{name}"))
        states = mlmd.Execution
        state = states.CACHED if cached else states.COMPLETE
        execution = mlmd.Execution(type_id=type_id, last_known_state=state)
        pairs = []
        for kind, used in ((mlmd.Event.INPUT, inputs), (mlmd.Event.OUTPUT, outputs)):
            for key, artifact_id in used.items():
                event = mlmd.Event(type=kind)
                event.path.steps.add().key = key
                event.path.steps.add().index = 0
                [artifact] = self.store.get_artifacts_by_id([artifact_id])
                pairs.append((artifact, event))
        context = mlmd.Context()
        context.CopyFrom(self.store.get_contexts_by_id([self.context])[0])
        execution_id, _, _ = self.store.put_execution(execution, pairs, [context])
        return execution_id

    def found(self, *ids: int) -> list[mlmd.Artifact]:
        return self.store.get_artifacts_by_id(list(ids))


@pytest.fixture
def written(tmp_path: Path) -> _Run:
    return _Run(tmp_path / "metadata.sqlite")


@dataclass
class _Generations:
    """Three modules: the second tuned from the first in one run; the third in a run of its own,
    that resolved the second by its handle; and embeddings of the second."""

    run: _Run
    base: int
    examples: int
    tuned: int
    again: int
    newest: int
    embeddings: int
    model: int


@pytest.fixture
def generations(written: _Run) -> _Generations:
    base = written.module("/a/base", _D1, handle="https://tfhub.dev/x/1")
    written.step("ModuleResolver", {}, {"module": base})
    examples = written.artifact("Examples", "/a/examples", span=3)
    written.step("ImportExampleGen", {}, {"examples": examples})
    tuned = written.module("/a/tuned", _D2, parent_digest=_D1)
    model = written.artifact("Model", "/a/model")
    inputs = {"base_module": base, "examples": examples}
    written.step("ModuleTrainer", inputs, {"module": tuned, "model": model})
    again = written.module("/b/resolved", _D2)
    written.step("ModuleResolver", {}, {"module": again})
    newest = written.module("/b/tuned", _D3, parent_digest=_D2)
    written.step("ModuleTrainer", {"base_module": again}, {"module": newest})
    embeddings = written.artifact("Examples", "/a/embeddings", module_digest=_D2, rows=7)
    inputs = {"module": tuned, "examples": examples}
    written.step("EmbeddingGenerator", inputs, {"embeddings": embeddings})
    written.step("EmbeddingGenerator", inputs, {"embeddings": embeddings}, cached=True)
    return _Generations(written, base, examples, tuned, again, newest, embeddings, model)


def _lineage_with(run: _Run, digest: str, generations: int = 50) -> Lineage:
    return lineage_of(run.store, artifacts_with_digest(run.store, digest), generations)


# --- The lineage ---------------------------------------------------------------------------------


def test_what_the_newest_was_made_from(generations: _Generations) -> None:
    g = generations
    lineage = _lineage_with(g.run, _D3)
    assert lineage.roots == (g.newest,)
    assert lineage.artifacts.keys() == {g.newest, g.again, g.tuned, g.base, g.examples}
    assert lineage.producer(g.newest) == Step(
        5, "ModuleTrainer", (Event("base_module", g.again),), (Event("module", g.newest),)
    )
    # No step ties the two runs together: the digest does.
    assert [(link.parent, link.child, link.by) for link in lineage.links] == [
        (g.tuned, g.again, "digest")
    ]
    assert not lineage.cut


def test_what_was_made_with_the_first(generations: _Generations) -> None:
    g = generations
    lineage = _lineage_with(g.run, _D1)
    assert lineage.roots == (g.base,)
    assert lineage.artifacts.keys() == {
        g.base,
        g.tuned,
        g.model,
        g.again,
        g.newest,
        g.embeddings,
    }
    assert [step.name for step in lineage.consumers(g.base)] == ["ModuleTrainer"]
    # The step that was taken from the cache made nothing.
    assert [step.name for step in lineage.consumers(g.tuned)] == ["EmbeddingGenerator"]


def test_embeddings_belong_to_their_modules_digest(generations: _Generations) -> None:
    g = generations
    lineage = _lineage_with(g.run, _D2)
    assert lineage.roots == (g.tuned, g.again, g.embeddings)
    # All but the Model, which comes from the same step and was made from none of the roots.
    assert len(lineage.artifacts) == 6


def test_generations_without_events(written: _Run) -> None:
    """Each made in an ML Metadata that is lost, and registered here."""
    first = written.module("/1", _D1)
    second = written.module("/2", _D2, parent_digest=_D1)
    third = written.module("/3", _D3, parent_digest=_D2)
    vectors = written.artifact("Examples", "/4", module_digest=_D3)
    for digest in (_D1, _D2, _D3):
        lineage = _lineage_with(written, digest)
        assert lineage.artifacts.keys() == {first, second, third, vectors}
        assert {(link.parent, link.child, link.by) for link in lineage.links} == {
            (first, second, "parent_digest"),
            (second, third, "parent_digest"),
            (third, vectors, "module_digest"),
        }


def test_a_module_resolved_twice_is_not_an_ancestor_of_itself(written: _Run) -> None:
    first, second = written.module("/1", _D1), written.module("/2", _D1)
    tuned = written.module("/3", _D2, parent_digest=_D1)
    written.step("ModuleTrainer", {"base_module": second}, {"module": tuned})
    lineage = _lineage_with(written, _D2)
    assert lineage.artifacts.keys() == {second, tuned}
    assert _lineage_with(written, _D1).artifacts.keys() == {first, second, tuned}


@dataclass
class _Demo:
    """What `make demo` leaves: a base that is embedded with, frozen, and tuned, each time resolved
    by its URL; and somebody who resolves the frozen one's directory."""

    run: _Run
    examples: int
    frozen: int
    tuned: int
    of_base: list[int]


def _demo(run_: _Run) -> _Demo:
    def resolved(uri: str) -> int:
        module = run_.module(uri, _D1, handle="http://localhost/base/1")
        run_.step("ModuleResolver", {}, {"module": module})
        return module

    def made(step: str, inputs: dict[str, int], output: str, made_: int) -> int:
        run_.step(step, inputs, {output: made_})
        return made_

    first = resolved("/1")
    embeddings = run_.artifact("Examples", "/2", module_digest=_D1)
    made("EmbeddingGenerator", {"module": first}, "embeddings", embeddings)
    examples = run_.artifact("Examples", "/3")
    second = resolved("/4")
    frozen = run_.module("/5", _D1, parent_digest=_D1, frozen=1)
    made("ModuleTrainer", {"base_module": second, "examples": examples}, "module", frozen)
    tuned = run_.module("/6", _D2, parent_digest=_D1)
    third = resolved("/7")
    made("ModuleTrainer", {"base_module": third}, "module", tuned)
    later = run_.artifact("Examples", "/8", module_digest=_D1)
    made("EmbeddingGenerator", {"module": resolved("/5/module")}, "embeddings", later)
    lost = run_.artifact("Examples", "/9", module_digest=_D1)  # Of a step that nobody knows.
    return _Demo(run_, examples, frozen, tuned, [first, embeddings, second, third, later, lost])


def test_nothing_made_with_a_base_inherits_a_training_that_left_it_as_it_was(
    written: _Run,
) -> None:
    demo = _demo(written)
    for artifact in [*demo.of_base, demo.tuned]:
        lineage = ancestors_of(written.store, written.found(artifact))
        assert not {demo.frozen, demo.examples} & lineage.artifacts.keys()
    of_frozen = ancestors_of(written.store, written.found(demo.frozen))
    assert "frozen 1" in as_text(of_frozen)


def test_a_lineage_with_frozen_modules_has_no_circle(written: _Run) -> None:
    _demo(written)
    frozen_again = written.module("/10", _D1, parent_digest=_D1, frozen=1)
    written.module("/11", _D2, parent_digest=_D2, frozen=1)
    older = written.module("/12", _D3, parent_digest=_OTHER)
    newer = written.module("/13", _OTHER, parent_digest=_D3)
    for digest in (_D1, _D2, _D3, _OTHER):
        lineage = _lineage_with(written, digest)
        assert all(link.parent < link.child for link in lineage.links)
        assert frozen_again not in {link.parent for link in lineage.links}
    assert [(link.parent, link.child) for link in _lineage_with(written, _D3).links] == [
        (older, newer)
    ]


def test_no_further_than_asked(generations: _Generations) -> None:
    g = generations
    lineage = _lineage_with(g.run, _D3, generations=1)
    assert lineage.artifacts.keys() == {g.newest, g.again}
    assert lineage.cut
    assert "there are more generations" in as_text(lineage)
    assert not _lineage_with(g.run, _D3, generations=4).cut


def test_a_circle_ends(written: _Run) -> None:
    """Which ML Metadata does not forbid."""
    one, two = written.module("/1", _D1, parent_digest=_D2), written.module("/2", _D2)
    written.step("Trainer", {"a": one}, {"b": two})
    written.step("Trainer", {"b": two}, {"a": one})
    lineage = _lineage_with(written, _D1)
    assert lineage.artifacts.keys() == {one, two}
    assert as_text(lineage).count("uri /1\n") == 1


def test_stamps_that_are_not_digests_find_nothing(written: _Run) -> None:
    odd = written.module("/1", 'x" OR 1 = 1 --', parent_digest='" OR uri != "')
    written.module("/2", _D1)
    assert lineage_of(written.store, written.found(odd)).artifacts.keys() == {odd}


def test_ancestors_leave_out_what_was_made_with_the_root(generations: _Generations) -> None:
    g = generations
    lineage = ancestors_of(g.run.store, g.run.found(g.tuned))
    assert lineage.artifacts.keys() == {g.base, g.examples, g.tuned}
    assert lineage.artifacts[g.tuned].properties == {"digest": _D2, "parent_digest": _D1}
    assert lineage.producer(g.examples).inputs == ()


# --- The command ---------------------------------------------------------------------------------


def _lineage(run_: _Run, *arguments: object) -> int:
    return run(["lineage", *map(str, arguments), "--metadata", str(run_.path)])


def test_text(generations: _Generations, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lineage(generations.run, _D3) == 0
    assert (
        capsys.readouterr().out
        == f"""\
1 hub_tfx.HubModule with digest {_D3}

#6 module (hub_tfx.HubModule)
│ digest {_D3}
│ parent_digest {_D2}
│ uri /b/tuned
└─ made by ModuleTrainer (step 5)
   └─ from base_module: #5 module (hub_tfx.HubModule)
      │ digest {_D2}
      │ uri /b/resolved
      ├─ made by ModuleResolver (step 4)
      └─ by its digest from #3 module (hub_tfx.HubModule)
         │ digest {_D2}
         │ parent_digest {_D1}
         │ uri /a/tuned
         └─ made by ModuleTrainer (step 3)
            ├─ from base_module: #1 module (hub_tfx.HubModule)
            │  │ handle https://tfhub.dev/x/1
            │  │ digest {_D1}
            │  │ uri /a/base
            │  └─ made by ModuleResolver (step 1)
            └─ from examples: #2 examples (Examples)
               │ span 3
               │ uri /a/examples
               └─ made by ImportExampleGen (step 2)
"""
    )


def test_what_comes_up_again_is_referred_to(
    generations: _Generations, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lineage(generations.run, _D2.upper()) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"2 hub_tfx.HubModule, 1 Examples with digest {_D2}\n")
    for uri in ("/a/base", "/a/examples", "/a/tuned", "/a/embeddings", "/b/tuned"):
        assert out.count(f"uri {uri}\n") == 1
    assert "from examples: #2 examples (Examples), see above" in out
    assert "read by EmbeddingGenerator (step 6), which made\n" in out


def test_json(generations: _Generations, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lineage(generations.run, _D1, "--json") == 0
    first = capsys.readouterr().out
    assert _lineage(generations.run, _D1, "--format", "json") == 0
    assert capsys.readouterr().out == first
    document = json.loads(first)
    assert document["digest"] == _D1
    assert document["roots"] == [generations.base]
    assert document["artifacts"][0] == {
        "id": generations.base,
        "name": "module",
        "type_name": _MODULE,
        "uri": "/a/base",
        "properties": {"digest": _D1, "handle": "https://tfhub.dev/x/1"},
        "made_by": 1,
    }
    assert document["steps"][0] == {
        "id": 1,
        "name": "ModuleResolver",
        "inputs": [],
        "outputs": [{"key": "module", "artifact": generations.base}],
    }


def test_directories(
    written: _Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = minimal_module(tmp_path / "hub_module" / "module")
    manifest = Manifest.of_directory(module)
    (tmp_path / "hub_module" / "manifest.json").write_text(manifest.to_json())
    made = written.module(str(tmp_path / "hub_module"), manifest.digest)
    (tmp_path / "vectors").mkdir()
    vectors = written.artifact("Examples", str(tmp_path / "vectors"), module_digest=_D1)
    (tmp_path / "moved").mkdir()
    about = json.dumps({"module": {"digest": manifest.digest}})
    (tmp_path / "moved" / "manifest-train.json").write_text(about)
    monkeypatch.chdir(tmp_path)
    for directory, roots in (
        ("hub_module/module", [made]),
        ("hub_module", [made]),
        ("vectors", [vectors]),
        ("vectors/", [vectors]),
        ("moved", [made]),
    ):
        assert _lineage(written, directory, "--json") == 0
        assert json.loads(capsys.readouterr().out)["roots"] == roots


@pytest.mark.parametrize(
    ("target", "code", "why"),
    [
        ("12", 1, f"has no artifact with digest 12; the nearest: {_OTHER}, {_D1}, {_D2}"),
        ("no/such/place", 2, "neither a directory nor a digest"),
        ("/etc", 1, "/etc holds neither a module nor embeddings"),
    ],
)
def test_what_is_not_known(
    target: str, code: int, why: str, generations: _Generations, capsys: pytest.CaptureFixture[str]
) -> None:
    generations.run.module("/other", _OTHER)
    assert _lineage(generations.run, target) == code
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1


def test_files_that_are_not_ml_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content, why in (
        ("gone", None, "there is no ML Metadata"),
        ("empty", b"", "cannot be read as ML Metadata"),
        ("text", b"hello" * 200, "cannot be read as ML Metadata"),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        assert run(["lineage", _D1, "--metadata", str(tmp_path / name)]) == 1
        err = capsys.readouterr().err
        assert why in err
        assert err.count("\n") == 1
        assert content is None or (tmp_path / name).read_bytes() == content


def test_an_empty_store_says_so(written: _Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert _lineage(written, _D1) == 1
    assert "it has no module at all" in capsys.readouterr().err
    with pytest.raises(InputError):
        open_sqlite(str(written.path.with_name("gone")), read_only=True)


def test_nothing_is_written(generations: _Generations) -> None:
    path = generations.run.path
    before = path.read_bytes()
    path.chmod(0o444)
    assert _lineage(generations.run, _D1) == 0
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]


def test_two_formats_are_one_too_many(
    generations: _Generations, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lineage(generations.run, _D1, "--json", "--format", "dot") == 2
    assert "choose one" in capsys.readouterr().err


def test_it_is_light(generations: _Generations) -> None:
    code = (
        "import sys; from hub_tfx.cli.main import run; code = run(sys.argv[1:]);"
        "sys.exit(code or bool({'tensorflow', 'tfx', 'apache_beam'} & sys.modules.keys()))"
    )
    arguments = ["lineage", _D1, "--metadata", str(generations.run.path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# --- Drawings ------------------------------------------------------------------------------------


def test_dot(generations: _Generations) -> None:
    drawn = as_dot(_lineage_with(generations.run, _D3))
    assert drawn.startswith("digraph lineage {\n  rankdir=LR;\n")
    assert '  a6 [shape="box" penwidth="2" label="#6 module (hub_tfx.HubModule)\\ndigest 3' in drawn
    assert '  s5 [shape="ellipse" label="ModuleTrainer\\nstep 5"];\n' in drawn
    assert '  a5 -> s5 [label="base_module"];\n  s5 -> a6 [label="module"];\n' in drawn
    assert drawn.endswith('  a3 -> a5 [label="digest" style="dashed"];\n}')


def test_mermaid(generations: _Generations) -> None:
    drawn = as_mermaid(_lineage_with(generations.run, _D3))
    assert drawn.startswith('flowchart LR\n  a1["#35;1 module (hub_tfx.HubModule)<br/>handle ')
    assert '  s5(["ModuleTrainer<br/>step 5"])\n' in drawn
    assert '  a5 -->|"base_module"| s5\n' in drawn
    assert '  a3 -.->|"digest"| a5\n' in drawn
    assert drawn.endswith("  style a6 stroke-width:3px")


_WORDS = st.text() | st.text(alphabet='"\\#;&<>`|[](){}:\n\r\x1b%-=astyle ', max_size=20)


def _one(name: str, uri: str, handle: str) -> Lineage:
    artifact = ArtifactNode(1, name, "Examples", uri, {"handle": handle}, 1)
    steps = {1: Step(1, name, (Event(uri, 1),), (Event(handle, 1),))}
    return Lineage((1,), {1: artifact}, steps, (), False)


def _facts(name: str, uri: str, handle: str) -> list[str]:
    title = f"#1 {name} (Examples)" if name else "#1 (Examples)"
    facts = [f"handle {handle}" if handle else "", f"uri {uri}" if uri else ""]
    return [printable(line) for line in (title, *facts) if line]


@given(name=_WORDS, uri=_WORDS, handle=_WORDS)
def test_dot_says_what_the_names_are(name: str, uri: str, handle: str) -> None:
    quoted = r'"((?:[^"\\]|\\.)*)"'
    lines = as_dot(_one(name, uri, handle)).split("\n")
    assert len(lines) == 7
    artifact = re.fullmatch(rf'  a1 \[shape="box" penwidth="2" label={quoted}\];', lines[2])
    edge = re.fullmatch(rf"  a1 -> s1 \[label={quoted}\];", lines[4])
    assert artifact is not None
    assert edge is not None
    assert _read_by_graphviz(artifact[1]) == "\n".join(_facts(name, uri, handle))
    assert _read_by_graphviz(edge[1]) == printable(uri)


def _read_by_graphviz(text: str) -> str:
    text = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)
    assert not re.search(r"&(?!amp;)", text)
    return text.replace("&amp;", "&")


@given(name=_WORDS, uri=_WORDS, handle=_WORDS)
def test_mermaid_says_what_the_names_are(name: str, uri: str, handle: str) -> None:
    lines = as_mermaid(_one(name, uri, handle)).split("\n")
    assert len(lines) == 6
    artifact = re.fullmatch(r'  a1\["([^"]*)"\]', lines[1])
    edge = re.fullmatch(r'  a1 -->(?:\|"([^"]+)"\|)? s1', lines[3])
    assert artifact is not None
    assert edge is not None
    assert _read_by_mermaid(artifact[1]) == _facts(name, uri, handle)
    assert _read_by_mermaid(edge[1] or "") == [printable(uri)]


def _read_by_mermaid(text: str) -> list[str]:
    lines = text.split("<br/>")
    assert all(re.fullmatch(r"(#\d+;|[^#;:<>&\"`%{}|\[\]\\])*", line) for line in lines)
    return [re.sub(r"#(\d+);", lambda m: chr(int(m[1])), line) for line in lines]


@given(name=_WORDS, uri=_WORDS, handle=_WORDS)
def test_text_keeps_its_shape(name: str, uri: str, handle: str) -> None:
    lines = as_text(_one(name, uri, handle)).split("\n")
    facts = _facts(name, uri, handle)
    assert [line.removeprefix("│ ") for line in lines[: len(facts)]] == facts
    assert all(line.isprintable() for line in lines)
