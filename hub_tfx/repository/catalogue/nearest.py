"""Handles that look like one that is not there, found quickly among many."""

import difflib
from collections.abc import Sequence
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


def nearest_handles(
    text: str, handles: Sequence[str], masks: Sequence[int], limit: int
) -> list[str]:
    """The handles that are most like a text, the nearest first.

    Comparing letter by letter takes half a second among ten thousand handles, so it is done only
    for those that have the most pairs of letters in common with the text.

    Args:
      text: a handle, or a part of one.
      handles: all handles, in a fixed order.
      masks: ``pairs_mask`` of each.
      limit: how many to give at most.
    """
    text = text[:_MAX_CHARS].lower()
    mask = pairs_mask(text)
    # What the handle has more counts a little, so that long ones do not win by their length.
    scores = [4 * (mask & other).bit_count() - other.bit_count() for other in masks]
    best = sorted(range(len(handles)), key=lambda at: -scores[at])[:_COMPARED]
    likeness = [(_likeness(text, handles[at].lower()), handles[at]) for at in best]
    ordered = sorted(likeness, key=lambda one: (-one[0], one[1]))
    return [handle for like, handle in ordered if like >= _CUTOFF][:limit]


def _likeness(text: str, handle: str) -> float:
    """From 0 to 1; a text without a publisher is compared with the name of the model, too."""
    whole = difflib.SequenceMatcher(None, text, handle).ratio()
    if "/" in text:
        return whole
    return max(whole, difflib.SequenceMatcher(None, text, handle.partition("/")[2]).ratio())
