"""OutputManifest: what is written is read back, and so is what earlier versions wrote."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_tfx.embed.manifest import ModuleRef, OutputManifest, WrittenColumn, WrittenFile
from hub_tfx.module.manifest import is_inside

OF_0_1 = Path(__file__).with_name("manifest-0.1.json")

text = st.text(max_size=5)
name = text.filter(is_inside)
count = st.integers(0, 1 << 40)
manifests = st.builds(
    OutputManifest,
    version=text,
    module=st.builds(ModuleRef, text, text),
    preprocessor=st.none() | st.builds(ModuleRef, text, text),
    signature=text,
    made_with=st.none() | st.dictionaries(text, text),
    embedding_dim=st.none() | count,
    columns=st.dictionaries(
        text,
        st.builds(
            WrittenColumn,
            text,
            text,
            st.lists(st.integers(-1, 9)).map(tuple),
            st.none() | text,
            st.none() | text,
        ),
    ),
    config=st.dictionaries(text, st.none() | text | st.lists(text)),
    format=st.sampled_from(["parquet", "tfrecord"]),
    rows=count,
    row_bytes=st.lists(st.tuples(count, count)).map(tuple),
    files=st.lists(st.builds(WrittenFile, name, count, count, text, st.none() | text)).map(tuple),
    inputs=st.dictionaries(text, count),
)


@given(manifests)
def test_a_manifest_is_read_back_as_it_was_written(manifest):
    assert OutputManifest.from_json(manifest.to_json()) == manifest


def test_a_manifest_of_version_0_1_is_read_and_written_alike():
    written = OF_0_1.read_text()
    manifest = OutputManifest.from_json(written)
    assert manifest.to_json() == written
    assert (manifest.rows, manifest.columns["embedding"].scale) == (600, "embedding_scale")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda document: document.pop("made_by"), "not made by hub_tfx"),
        (lambda document: document.update(made_by="somebody"), "not made by hub_tfx"),
        (lambda document: document.pop("columns"), "not the manifest of an output"),
        (lambda document: document.update(files=[{"name": "x"}]), "not the manifest of an output"),
        (lambda document: document.update(weather="fine"), "unknown key 'weather'"),
    ],
)
def test_what_is_not_a_manifest_is_refused(change, complaint):
    document = json.loads(OF_0_1.read_text())
    change(document)
    with pytest.raises(ValueError, match=complaint):
        OutputManifest.from_json(json.dumps(document))


@pytest.mark.parametrize("content", ["", "[]", "null", "{", '"manifest"'])
def test_other_json_is_refused(content):
    with pytest.raises(ValueError, match=r"not made by hub_tfx|Expecting|property name"):
        OutputManifest.from_json(content)


@pytest.mark.parametrize("odd", ["../x", "/etc/passwd", "a//b", "", "a/../../b"])
@pytest.mark.parametrize("kind", ["files", "dead_letter_files"])
def test_a_part_that_is_not_in_its_folder_is_refused(odd, kind):
    document = json.loads(OF_0_1.read_text())
    document[kind] = [
        {"name": odd, "rows": 1, "size_bytes": 1, "sha256": "", "digests_sha256": None}
    ]
    with pytest.raises(ValueError, match="is not in its folder"):
        OutputManifest.from_json(json.dumps(document))
