"""Publishing: the next number, the same bytes again, other bytes under a number."""

from pathlib import Path

import pytest
from published import published

from hub_tfx.errors import TakenError
from hub_tfx.repository.publish import PublishedVersion


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
