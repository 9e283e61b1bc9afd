"""Publishing: the next number, the same bytes again, other bytes under a number."""

from pathlib import Path

import pytest
from published import card, module, published

from hub_tfx.errors import ConfigError, DigestMismatchError, HandleError, OutputError, TakenError
from hub_tfx.repository.publish import PublishedVersion
from hub_tfx.repository.publish import publish as publish_module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def publish(repository: Path, weights: bytes, **more: object) -> PublishedVersion:
    folder = repository.parent / f"of-{weights.hex()}-{len(list(repository.parent.iterdir()))}"
    folder.mkdir()
    return published(folder, repository, weights, **more)


def test_versions_are_counted(repository: Path) -> None:
    versions = [publish(repository, weights) for weights in (b"a", b"b", b"c")]
    assert [v.version for v in versions] == [1, 2, 3]
    assert versions[0].handle == f"repo+{repository}//acme/words/1"


def test_the_same_bytes_again_are_the_same_version(repository: Path) -> None:
    first = publish(repository, b"a")
    publish(repository, b"b")
    again = publish(repository, b"a")
    assert (again.version, again.digest, again.created) == (1, first.digest, False)


def test_other_bytes_under_a_number_name_the_next_free_one(repository: Path) -> None:
    publish(repository, b"a")
    with pytest.raises(TakenError, match="next free number is 2"):
        publish(repository, b"b", version=1)


def test_a_number_beyond_all_versions_is_refused(repository: Path) -> None:
    with pytest.raises(HandleError, match="is not the number of a version"):
        publish(repository, b"a", version=10**9)
    assert not repository.exists()


def test_a_repository_inside_the_module_is_refused(tmp_path: Path) -> None:
    made = module(tmp_path / "m")
    with pytest.raises(ConfigError, match="is inside the module"):
        publish_module(made, tmp_path / "m" / "r", "acme/words", card=card(tmp_path))
    assert not (tmp_path / "m" / "r").exists()


@pytest.mark.parametrize("place", ["file", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(OutputError, match=r"cannot be written: .*name a directory that you may"):
        published(tmp_path, tmp_path / place, b"a")


def test_what_fails_before_the_end_reserves_no_name(repository: Path) -> None:
    folder = repository.parent / "m"
    made = module(folder)
    (folder / "variables" / "variables.index").write_bytes(b"changed")
    with pytest.raises(DigestMismatchError):
        publish_module(made, repository, "Acme/words", card=card(repository.parent))
    assert publish(repository, b"a").name == "acme/words"
