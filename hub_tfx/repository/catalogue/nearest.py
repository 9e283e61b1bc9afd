"""Handles that look like one that is not there, found quickly among many."""

import difflib
from collections.abc import Sequence
from heapq import nlargest
from itertools import pairwise

_BITS = 256
_COMPARED = 40
_MAX_CHARS = 200
_CUTOFF = 0.5


def pairs_mask(text: str) -> int:
    """A number with a bit for each pair of neighbouring letters, several of which share one."""
    mask = 0
    padded = f" {text.lower()} "
    for one, other in pairwise(padded):
        mask |= 1 << (ord(one) * 31 + ord(other)) % _BITS
    return mask


def nearest_handles(text: str, handles: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """The handles that are most like a text, the nearest first.

    Comparing letter by letter takes half a second among ten thousand handles, so it is done only
    for those that have the most pairs of letters in common with the text.

    Args:
      text: a handle, or a part of one.
      handles: all handles, in a fixed order, each with its ``pairs_mask``.
      limit: how many to give at most.
    """
    text = text[:_MAX_CHARS].lower()
    mask = pairs_mask(text)
    # What a handle has besides counts a little, so that long ones do not win by their length.
    scored = ((4 * (mask & m).bit_count() - m.bit_count(), handle) for handle, m in handles)
    best = nlargest(_COMPARED, scored)
    likeness = sorted((-_likeness(text, handle.lower()), handle) for _, handle in best)
    return [handle for unlike, handle in likeness if unlike <= -_CUTOFF][:limit]


def _likeness(text: str, handle: str) -> float:
    """From 0 to 1; a text without a publisher is compared with the name of the model, too."""
    whole = difflib.SequenceMatcher(None, text, handle).ratio()
    if "/" in text:
        return whole
    return max(whole, difflib.SequenceMatcher(None, text, handle.partition("/")[2]).ratio())
