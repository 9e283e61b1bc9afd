"""The front matter of a card: YAML between two lines of ``---``, each value with its line."""

from hub_tfx._yaml import Pairs, YamlError, decode, read_mapping

MAX_CARD_BYTES = 64 << 10
_FENCE = "---"


def decode_card(source: bytes) -> str:
    """The text of a card, with plain line breaks.

    Raises:
      YamlError: it is too long, is not UTF-8, or holds control characters.
    """
    return decode(source, MAX_CARD_BYTES, "a card")


def split_front_matter(text: str) -> tuple[str, str]:
    """The YAML and the Markdown of a card, whose line breaks are ``\\n``.

    Raises:
      YamlError: the card does not start with a line ``---``, or there is no second one.
    """
    first, _, rest = text.partition("\n")
    if first.rstrip() != _FENCE:
        raise YamlError(1, "the card does not start with a line `---` and its keys in YAML")
    lines = rest.split("\n")
    for number, line in enumerate(lines):
        if line.rstrip() == _FENCE:
            return "\n".join(lines[:number]), "\n".join(lines[number + 1 :])
    raise YamlError(1, "the front matter has no end: put a line `---` after its last key")


def read_front_matter(yaml: str) -> Pairs:
    """The keys and values of a front matter, whose first line is line 2 of the card.

    Raises:
      YamlError: it is not YAML, or it holds what no card may hold.
    """
    return read_mapping(yaml, first_line=2, like="license: MIT")
