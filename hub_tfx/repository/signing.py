"""Signatures of published versions, by a pair of elliptic-curve keys.

What is signed is a version's marker, ``version.json``: it holds the version's name and number, the
digest of its module, and the SHA-256 of everything that lies beside that. So neither bytes nor a
place can be exchanged, and a module need not be downloaded to check its signature.

A signature is a Sigstore bundle as model-signing writes it, and lies beside the version in a record
of its own (see ``records``); other keys may sign later. The command of that library reads the same
files: ``model_signing verify key version.json --signature FILE --public_key FILE``.

model-signing takes seconds to import, so this happens when a key is used.
"""

import hashlib
import os
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from hub_tfx._files import open_regular, why
from hub_tfx.errors import ConfigError, InputError, UntrustedError
from hub_tfx.repository import layout, records
from hub_tfx.repository.layout import Version
from hub_tfx.repository.names import ModuleName
from hub_tfx.repository.records import Record
from hub_tfx.repository.storage import Storage

_NEW_KEY = "openssl ecparam -name prime256v1 -genkey -noout -out FILE"
_PUBLIC_KEY = "openssl ec -in FILE -pubout"
Key = str | os.PathLike[str]


def check_private_key(private_key: Key) -> None:
    """Raises as ``sign`` does, before there is anything to sign."""
    _signer(private_key)


def sign(content: bytes, private_key: Key) -> bytes:
    """The signature of some bytes.

    Args:
      content: what is signed.
      private_key: file with a private key of an elliptic curve in PEM, without a password.

    Raises:
      ConfigError: model-signing is not installed.
      InputError: the file cannot be read, or does not hold such a key.
    """
    signing = _signer(private_key)
    with tempfile.TemporaryDirectory() as folder:
        signed, signature = _written(folder, content), Path(folder, "signature")
        signing.sign(signed, signature)
        return signature.read_bytes()


def verify(content: bytes, signature: bytes, public_key: Key) -> str:
    """Checks the signature of some bytes, and returns the fingerprint of the key.

    Raises:
      ConfigError: model-signing is not installed.
      InputError: the file cannot be read, or does not hold a public key.
      UntrustedError: it is not a signature of these bytes by this key.
    """
    _check_readable(public_key)
    verifying = _model_signing().verifying.Config()
    try:
        verifying.use_elliptic_key_verifier(public_key=public_key)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{public_key} does not hold a key to verify with: use the public key in PEM, as "
            f"`{_PUBLIC_KEY}` writes it"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        signed, file = _written(folder, content), Path(folder, "signature")
        file.write_bytes(signature)
        try:
            verifying.verify(signed, file)
        except Exception as error:  # What others wrote may be anything.
            raise UntrustedError("it is not a signature of these bytes by this key") from error
    with open_regular(public_key) as opened:
        return _fingerprint(_serialization().load_pem_public_key(opened.read()))


def sign_version(
    storage: Storage, name: ModuleName, number: int, private_key: Key, who: str | None = None
) -> str:
    """Adds a signature to a version, and returns the fingerprint of the key.

    Where this key has signed it already, nothing is written.

    Raises:
      InputError: there is no such version, or the file does not hold a private key.
    """
    marker = _marker(storage, name, number)
    bundle = sign(marker, private_key)
    with open_regular(private_key) as opened:
        public_half = _serialization().load_pem_private_key(opened.read(), None).public_key()
    key = _fingerprint(public_half)
    signed = signatures(storage, name, number)
    if not any(_is_of(record, marker, _pem(public_half)) for record in signed):
        values = {"signature": bundle.decode(), "key": key}
        records.append(storage, _folder(name, number), lambda _: values, "signed", who)
    return key


def verify_version(storage: Storage, version: Version, public_key: Key) -> str:
    """The fingerprint of the key, by which a version is signed.

    Raises:
      UntrustedError: no signature of the version is valid.
      InputError: the file does not hold a public key.
    """
    marker = _marker(storage, version.name, version.number)
    if Version.from_json(marker, version.key) != version:
        raise UntrustedError(f"{version.key} in {storage.url} changes while it is read: try again")
    found = signatures(storage, version.name, version.number)
    for record in reversed(found):
        with suppress(UntrustedError):
            return verify(marker, _bundle(record), public_key)
    has = f"{len(found)} signatures, none of them valid and" if found else "no signature"
    raise UntrustedError(
        f"{version.key} in {storage.url} has {has} of the key {public_key}: do not use it until "
        "you know why; its publisher signs it by `hub-tfx publish --sign-key`"
    )


def signatures(storage: Storage, name: ModuleName, number: int) -> list[Record]:
    """The records of a version's signatures, the oldest first; none of them is checked here."""
    return records.history(storage, _folder(name, number))


def _signer(private_key: Key) -> Any:
    _check_readable(private_key)
    try:
        return _model_signing().signing.Config().use_elliptic_key_signer(private_key=private_key)
    except (ValueError, TypeError, AttributeError) as error:  # Its message may quote the secret.
        raise InputError(
            f"{private_key} does not hold a key to sign with: use a private key of an elliptic "
            f"curve in PEM without a password, as `{_NEW_KEY}` writes one"
        ) from error


def _folder(name: ModuleName, number: int) -> str:
    return layout.records_key(name, "signatures", number)


def _marker(storage: Storage, name: ModuleName, number: int) -> bytes:
    key = f"{layout.version_key(name, number)}/{layout.MARKER}"
    marker = storage.read(key)
    if marker is None:
        raise InputError(f"{storage.url} has no {key}: check the name and the number")
    return marker


def _bundle(record: Record) -> bytes:
    return str(record.values.get("signature")).encode("utf-8", "surrogatepass")


def _is_of(record: Record, marker: bytes, pem: bytes) -> bool:
    """Whether a record has a valid signature by a key."""
    with tempfile.TemporaryDirectory() as folder:
        public_key = Path(folder, "public")
        public_key.write_bytes(pem)
        with suppress(UntrustedError):
            verify(marker, _bundle(record), public_key)
            return True
    return False


def _pem(public_key: Any) -> bytes:
    serialization = _serialization()
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = public_key.public_bytes(serialization.Encoding.PEM, kind)
    return pem


def _fingerprint(public_key: Any) -> str:
    """SHA-256 of a key in PEM, in hex, as model-signing's hints have it.

    A hint itself is not signed: anyone may write another one.
    """
    return hashlib.sha256(_pem(public_key)).hexdigest()


def _serialization() -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization


def _written(folder: str, content: bytes) -> Path:
    path = Path(folder, layout.MARKER)
    path.write_bytes(content)
    return path


def _check_readable(key: Key) -> None:
    try:
        open_regular(key).close()
    except OSError as error:
        raise InputError(f"the key {key} cannot be read: {why(error)}; check the path") from error


def _model_signing() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of libraries that it imports, about themselves.
            import model_signing.signing
            import model_signing.verifying
    except ImportError as error:
        raise ConfigError(
            f"signatures need model-signing, which cannot be imported ({error}): install "
            "hub-tfx[signing]"
        ) from error
    return model_signing
