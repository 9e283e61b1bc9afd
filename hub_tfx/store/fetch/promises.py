"""What a server promises of the bytes that it sends, in the headers of its answer.

``Repr-Digest`` (RFC 9530) is about the archive; ``Hub-Tfx-Digest``, which `hub-tfx serve` sends, is
the digest of the module in it. Whoever fetches holds the server to both.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

from hub_tfx.errors import DigestMismatchError
from hub_tfx.module.manifest import Manifest, hash_file, is_digest

REPR_DIGEST = "Repr-Digest"
MODULE_DIGEST = "Hub-Tfx-Digest"

_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):", re.IGNORECASE)
_ASK = "do not use it until you know why; ask whoever keeps the server"


def repr_digest(sha256: str) -> str:
    """The value of ``Repr-Digest`` for a SHA-256 in hex."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def verify_promises(headers: Mapping[str, str], name: str, archive: Path, module: Path) -> None:
    """Compares what was fetched with what the server promised; a header that is missing or that we
    cannot read promises nothing.

    Args:
      headers: headers of the answer, whatever the case of their names.
      name: handle of the module, for messages.
      archive: what was sent.
      module: directory with what was in it.

    Raises:
      DigestMismatchError: a promise is not kept.
    """
    promised = _archive_sha256(headers.get(REPR_DIGEST, ""))
    if promised is not None and (actual := hash_file(archive)[1]) != promised:
        raise DigestMismatchError(
            f"{name}: the archive has the SHA-256 {actual}, and the server promised {promised}: "
            f"{_ASK}"
        )
    promised = headers.get(MODULE_DIGEST, "").strip().lower()
    if is_digest(promised) and (actual := Manifest.of_directory(module).digest) != promised:
        raise DigestMismatchError(
            f"{name}: its digest is {actual}, and the server promised {promised}: {_ASK}"
        )


def _archive_sha256(header: str) -> str | None:
    found = _SHA256.search(header)
    if found is None:
        return None
    try:
        digest = base64.b64decode(found[1], validate=True).hex()
    except (binascii.Error, ValueError):
        return None
    return digest if is_digest(digest) else None
