"""Digests of what a row feeds to a module: rows with equal ones get equal vectors.

The first 128 bits of BLAKE2b (RFC 7693): nobody finds two rows with one digest, neither by chance
in any corpus nor on purpose.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np

DIGEST_BYTES = 16
Digests = np.ndarray[Any, np.dtype[np.uint64]]
"""``[rows, 2]`` uint64: the halves of each row's digest."""


def of_values(values: Iterable[Any], kind: bytes = b"") -> list[bytes]:
    """A digest for each value.

    Args:
      values: values that have the buffer interface, such as bytes.
      kind: tells values from equal ones that mean something else; at most 16 bytes.
    """
    hashed = partial(blake2b, person=kind) if kind else blake2b  # An option takes time.
    return [hashed(value).digest()[:DIGEST_BYTES] for value in values]


def of_lists(values: Sequence[Any] | np.ndarray[Any, Any], offsets: Any) -> list[bytes]:
    """A digest for each list of values.

    Args:
      values: bytes of any lengths, or an array of numbers.
      offsets: ``[lists + 1]``, where each list begins in the values, and where the last one ends.
    """
    if not isinstance(values, np.ndarray) or values.dtype == object:
        # The digests of digests, which are all of one length: ["ab", "c"] is not ["a", "bc"].
        values = np.frombuffer(b"".join(of_values(values)), f"V{DIGEST_BYTES}")
    view = np.ascontiguousarray(values).view(np.uint8).data
    ends = (np.asarray(offsets) * values.dtype.itemsize).tolist()
    return of_values(view[start:end] for start, end in pairwise(ends))


def of_rows(parts: Sequence[Sequence[bytes]]) -> Digests:
    """The digest of each row.

    Args:
      parts: for each input of the module, in a fixed order, a digest for each row.
    """
    if len(parts) > 1:
        return from_bytes(b"".join(of_values(map(b"".join, zip(*parts, strict=True)))))
    return from_bytes(b"".join(parts[0]))


def from_bytes(digests: bytes) -> Digests:
    """Digests from consecutive bytes."""
    return np.frombuffer(digests, "<u8").reshape(-1, 2)
