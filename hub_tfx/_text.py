"""Text from modules, files and servers, made safe to print on a terminal."""


def printable(text: str) -> str:
    r"""One line without control characters: each is shown as Python escapes it (``\x1b``).

    Names may hold any character, and a terminal would obey an escape sequence in one.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
