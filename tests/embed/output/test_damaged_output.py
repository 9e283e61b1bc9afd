"""A consumer of an output notices that it is not what was written."""

import pytest

from hub_tfx.embed.config import EmbedConfig
from hub_tfx.embed.job import embed_files
from hub_tfx.embed.output.read_back import read_embeddings
from hub_tfx.errors import DigestMismatchError, InputError
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.testing import text_module


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    return ResolvedModule.of_directory(text_module(tmp_path_factory.mktemp("m") / "text"))


@pytest.fixture
def output(tmp_path, module):
    (tmp_path / "in.csv").write_text("n,text\n1,cat\n2,dog\n")
    output = tmp_path / "out"
    embed_files(module, [str(tmp_path / "in.csv")], str(output), EmbedConfig(keep=("n",)))
    return output


def test_a_whole_output_is_read(output):
    vectors, others = read_embeddings(str(output))
    assert vectors.shape == (2, 4)
    assert others.to_pydict() == {"n": [1, 2]}


def test_a_part_with_other_bytes_is_refused(output):
    (part,) = output.glob("embeddings-*")
    content = part.read_bytes()
    part.write_bytes(content.replace(b"PAR1", b"PAR2", 1))
    with pytest.raises(DigestMismatchError, match=rf"{part.name} has other bytes.*embed its input"):
        read_embeddings(str(output))


def test_a_part_that_is_gone_is_missed(output):
    (part,) = output.glob("embeddings-*")
    part.unlink()
    with pytest.raises(InputError, match=rf"{part.name} cannot be read.*embed its input again"):
        read_embeddings(str(output))


def test_a_file_that_no_manifest_names_is_not_read(output):
    (part,) = output.glob("embeddings-*")
    (output / "embeddings-00001-of-00002.parquet").write_bytes(part.read_bytes())
    assert len(read_embeddings(str(output))[0]) == 2


def test_an_output_without_a_manifest_is_none(output):
    (output / "manifest.json").unlink()
    with pytest.raises(InputError, match="does not hold a finished output"):
        read_embeddings(str(output))
