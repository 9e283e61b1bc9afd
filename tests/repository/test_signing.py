"""Signatures: who has the private key signs a version, who has the public one takes no other."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from published import card, module, published

from hub_tfx.cli.main import run
from hub_tfx.errors import (
    ConfigError,
    DigestMismatchError,
    InputError,
    TransientFetchError,
    UntrustedError,
)
from hub_tfx.repository import signing
from hub_tfx.repository.fetch import RepositoryFetcher
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.publish import publish
from hub_tfx.repository.signing import sign, signatures, verify
from hub_tfx.repository.storage import open_storage
from hub_tfx.repository.verify import verify as verify_repository
from hub_tfx.store.cache import ModuleCache

NAME = ModuleName("acme", "words")


def _new_key(folder: Path) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "private").write_bytes(private)
    (folder / "public").write_bytes(key.public_key().public_bytes(pem, info))
    return folder / "private", folder / "public"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _new_key(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _new_key(tmp_path_factory.mktemp("keys") / "others")


@pytest.fixture
def repository(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    """Version 1 is signed, version 2 is not."""
    signed = published(tmp_path, tmp_path / "repository", b"a", sign_key=keys[0])
    assert signed.signed_by
    assert published(tmp_path, tmp_path / "repository", b"b").signed_by is None
    return tmp_path / "repository"


def test_the_environment_may_name_the_key_as_for_a_step_of_a_pipeline(
    tmp_path: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TFX_SIGN_KEY", str(keys[0]))
    assert published(tmp_path, tmp_path / "repository", b"a").signed_by


def _cache(tmp_path: Path, key: Path | None) -> ModuleCache:
    return ModuleCache(tmp_path / "cache", verify_key=key)


def test_bytes_are_signed_and_no_others(keys: tuple[Path, Path], other_keys: tuple[Path, Path]):
    signature = sign(b"what is signed", keys[0])
    fingerprint = verify(b"what is signed", signature, keys[1])
    assert fingerprint in signature.decode()  # As the library's own hint.
    bundle = json.loads(signature)
    bundle["verificationMaterial"]["publicKey"]["hint"] = ""  # It is not signed.
    assert verify(b"what is signed", json.dumps(bundle).encode(), keys[1]) == fingerprint
    for content, wrong, key in (
        (b"what is Signed", signature, keys[1]),
        (b"what is signed", signature, other_keys[1]),
        (b"what is signed", signature[:-20], keys[1]),
        (b"what is signed", b"{}", keys[1]),
        (b"what is signed", b"\xff", keys[1]),
        (b"what is signed", signature.replace(b'"sig":"M', b'"sig":"N'), keys[1]),
    ):
        with pytest.raises(UntrustedError):
            verify(content, wrong, key)


def test_a_signed_version_is_resolved_and_says_whose_it_is(
    repository: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    handle = f"repo+{repository}//acme/words/1"
    signed = _cache(tmp_path, keys[1]).resolve(handle)
    (record,) = signatures(open_storage(repository), NAME, 1)
    assert signed.signed_by == record.values["key"]
    assert _cache(tmp_path, None).resolve(handle).signed_by is None


def test_what_the_key_has_not_signed_is_refused(
    repository: Path, keys: tuple[Path, Path], other_keys: tuple[Path, Path], tmp_path: Path
) -> None:
    for handle in (f"repo+{repository}//acme/words/2", f"repo+{repository}//acme/words@latest"):
        with pytest.raises(UntrustedError, match=r"acme/words/2 .* has no signature of the key"):
            _cache(tmp_path, keys[1]).resolve(handle)
    with pytest.raises(UntrustedError, match="has 1 signatures, none of them valid"):
        _cache(tmp_path, other_keys[1]).resolve(f"repo+{repository}//acme/words/1")


def test_a_signature_is_of_this_version_and_of_these_bytes(
    repository: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    records = repository / "acme" / "words" / "-" / "signatures"
    shutil.copytree(records / "1", records / "2")
    with pytest.raises(UntrustedError, match=r"acme/words/2 .* none of them valid"):
        _cache(tmp_path, keys[1]).resolve(f"repo+{repository}//acme/words/2")
    marker = repository / "acme" / "words" / "1" / "version.json"
    os.chmod(marker, 0o644)
    marker.write_bytes(marker.read_bytes().replace(b'"who": "', b'"who": "x'))
    with pytest.raises(UntrustedError, match=r"acme/words/1 .* none of them valid"):
        _cache(tmp_path, keys[1]).resolve(f"repo+{repository}//acme/words/1")


def test_a_damaged_record_of_a_signature_is_found(
    repository: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    record = repository / "acme" / "words" / "-" / "signatures" / "1" / "0001.json"
    os.chmod(record, 0o644)
    record.write_bytes(record.read_bytes()[:-9])
    (damage,) = verify_repository(open_storage(repository)).damages
    assert damage.key == "acme/words/-/signatures/1"
    with pytest.raises(DigestMismatchError, match=r"signatures/1/0001\.json is damaged"):
        _cache(tmp_path, keys[1]).resolve(f"repo+{repository}//acme/words/1")


def test_the_same_bytes_again_are_signed_where_they_were_not(
    repository: Path, keys: tuple[Path, Path], other_keys: tuple[Path, Path], tmp_path: Path
) -> None:
    storage = open_storage(repository)
    for sign_key, count in ((keys[0], 1), (keys[0], 1), (other_keys[0], 2)):
        made = publish(
            module(tmp_path / f"again-{os.urandom(4).hex()}", weights=b"b"),
            repository,
            "acme/words",
            card=card(tmp_path),
            sign_key=sign_key,
        )
        assert (made.version, made.created) == (2, False)
        assert len(signatures(storage, NAME, 2)) == count
    for key in (keys[1], other_keys[1]):
        assert _cache(tmp_path, key).resolve(f"repo+{repository}//acme/words/2").signed_by


def test_nobody_signs_what_somebody_else_has_put_beside_the_module(
    keys: tuple[Path, Path], tmp_path: Path
) -> None:
    foreign = tmp_path / "evil"
    foreign.write_bytes(b"evil")
    for folder in ("theirs", "ours"):
        (tmp_path / folder).mkdir()
    beside = {"variants/tflite/model.tflite": foreign}
    published(tmp_path / "theirs", tmp_path / "repository", b"a", beside=beside)
    with pytest.raises(ConfigError, match=r"not signed: .* another variants/tflite/model.tflite"):
        published(tmp_path / "ours", tmp_path / "repository", b"a", sign_key=keys[0])
    assert signatures(open_storage(tmp_path / "repository"), NAME, 1) == []


def test_files_that_hold_no_key_end_before_anything_is_published(
    keys: tuple[Path, Path], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_text("SECRET")
    for path, why in (
        (tmp_path / "fifo", "cannot be read: it is a FIFO"),
        (tmp_path / "missing", "cannot be read: No such file"),
        (tmp_path / "text", "does not hold a key to sign with"),
        (keys[1], "does not hold a key to sign with"),
    ):
        with pytest.raises(InputError, match=why) as caught:
            published(tmp_path / "x", tmp_path / "repository", b"a", sign_key=path)
        assert "SECRET" not in str(caught.value)
        shutil.rmtree(tmp_path / "x")
    assert not (tmp_path / "repository").exists()
    with pytest.raises(InputError, match="does not hold a key to verify with"):
        verify(b"", b"", keys[0])


def test_without_the_library_the_extra_is_named(
    keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(ConfigError, match=r"signatures need model-signing.*install hub-tfx\[sig"):
        sign(b"", keys[0])


def test_a_repository_that_cannot_be_asked_gives_no_unverified_module(
    repository: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise TransientFetchError("the bucket is away")

    monkeypatch.setattr(RepositoryFetcher, "pin", unreachable)
    with pytest.raises(TransientFetchError):
        _cache(tmp_path, keys[1]).resolve(f"repo+{repository}//acme/words/1")


def test_the_commands_sign_show_and_refuse(
    keys: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HUB_TFX_REPOSITORY", str(tmp_path / "repository"))

    def printed(*arguments: object) -> dict[str, object]:
        assert run([*map(str, arguments), "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    def publish_module(weights: bytes, *more: object) -> dict[str, object]:
        path = module(tmp_path / weights.decode(), weights=weights).path
        of = ("--name", "acme/words", "--card", card(tmp_path))
        return printed("publish", path, *of, *more)

    key = publish_module(b"a", "--sign-key", keys[0])["signed_by"]
    assert "signed_by" not in publish_module(b"b")
    shown = printed("repo", "show", "acme/words/1")
    assert shown["signed_by"] == [key]
    assert f"signed by {key}" in json.dumps(shown["history"])
    monkeypatch.setenv("HUB_TFX_VERIFY_KEY", str(keys[1]))
    handle = f"repo+{tmp_path}/repository//acme/words"
    assert printed("resolve", f"{handle}/1")["signed_by"] == key
    assert run(["inspect", f"{handle}/2"]) == 5
    assert "has no signature of the key" in capsys.readouterr().err
    monkeypatch.delenv("HUB_TFX_VERIFY_KEY")
    assert run(["resolve", f"{handle}/2", "--verify-key", str(keys[1])]) == 5
    assert "PRIVATE KEY" not in "".join(
        path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()
    )


def test_the_library_is_imported_only_where_a_key_is_used() -> None:
    import subprocess

    code = (
        "import sys, hub_tfx.repository.publish, hub_tfx.repository.fetch; "
        "sys.exit('model_signing' in sys.modules or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert signing.__doc__
