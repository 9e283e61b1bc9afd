"""Spans of an input: all that there are, their files, and what their content is known by.

TFX finds the newest span of a pattern; here all of them are found, on any filesystem that Beam
knows.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import attrgetter

from hub_tfx.data.files import list_below
from hub_tfx.data.filesystems import sha256_of
from hub_tfx.data.span_patterns import SpanPattern, check_patterns
from hub_tfx.errors import InputError

_READ_AT_ONCE = 16
_ORDER = attrgetter("split", "name")


@dataclass(frozen=True)
class SpanFile:
    """A file of a span.

    Attributes:
      span: number of the span.
      split: the input split whose pattern it has.
      name: its path below the folder of the input.
      path: its path on any Beam filesystem.
    """

    span: int
    split: str
    name: str
    path: str


@dataclass(frozen=True)
class FoundSpan:
    """A span, with every version of it that there is.

    Attributes:
      number: its number.
      versions: number of each version -> its files, which are sorted; one version, None, where the
        pattern has no {VERSION}.
    """

    number: int
    versions: Mapping[int | None, tuple[SpanFile, ...]]

    @property
    def newest(self) -> int | None:
        """The number of the newest version."""
        return max(self.versions, key=lambda version: -1 if version is None else version)


def find_spans(base: str, patterns: Sequence[SpanPattern]) -> dict[int, FoundSpan]:
    """All spans below a folder, in the order of their numbers.

    Names that have no number where the pattern has one are left out, such as that of a folder which
    is being written under another name.

    Args:
      base: the folder, on any Beam filesystem.
      patterns: that of each split.

    Raises:
      ConfigError: only some of the patterns tell spans apart.
      InputError: there are no spans, or a file has a date that there is not, or a span or version
        is written in two ways.
    """
    check_patterns(patterns)
    found: dict[int, dict[int | None, list[SpanFile]]] = {}
    written: dict[tuple[str, int, int | None], tuple[tuple[str, ...], str]] = {}
    for pattern in patterns:
        for name, path in list_below(base, pattern.glob):
            numbers = pattern.numbers_of(name)
            if numbers is None:
                continue
            span, version, ways = numbers
            other = written.setdefault((pattern.split, span, version), (ways, name))
            if other[0] != ways:
                raise InputError(
                    f"{base}: {other[1]} and {name} are the same span and version: rename one of "
                    "them, or remove it"
                )
            of_span = found.setdefault(span, {}).setdefault(version, [])
            of_span.append(SpanFile(span, pattern.split, name, path))
    if not found:
        told = " or ".join(repr(pattern.text) for pattern in patterns)
        raise InputError(f"no span in {base}: no file there has a name such as {told}")
    return {
        number: FoundSpan(
            number,
            {version: tuple(sorted(files, key=_ORDER)) for version, files in versions.items()},
        )
        for number, versions in sorted(found.items())
    }


def files_of(
    span: FoundSpan, version: int | None, patterns: Sequence[SpanPattern]
) -> tuple[SpanFile, ...]:
    """The files of one version of a span.

    Raises:
      InputError: there is no such version, or a split has no file of it.
    """
    files = span.versions.get(version, ())
    which = f"span {span.number}" if version is None else f"version {version} of span {span.number}"
    if not files:
        raise InputError(f"{which} is not there any more: run the pipeline again")
    there = {file.split for file in files}
    if missing := [pattern for pattern in patterns if pattern.split not in there]:
        raise InputError(
            f"{which} has files for the split {', '.join(sorted(there))} but none for "
            f"{missing[0].split} ({missing[0].text}): wait until it is written, or remove the rest"
        )
    return files


def fingerprint_of(files: Iterable[tuple[str, str, str]]) -> str:
    """What the content of a span is known by, whatever the times of its files.

    Args:
      files: split, name and SHA-256 of each file.
    """
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def content_of_file(file: SpanFile) -> tuple[str, str, str]:
    """Split, name and SHA-256 of a file; raises InputError where it cannot be read."""
    sha256 = sha256_of(file.path)
    if sha256 is None:
        raise InputError(f"{file.path} cannot be read: it was there when spans were looked for")
    return file.split, file.name, sha256


def fingerprints_of(spans: Iterable[Sequence[SpanFile]]) -> list[str]:
    """The fingerprint of each span's files, all of which are read."""
    listed = [list(files) for files in spans]
    with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
        content = iter(pool.map(content_of_file, [file for files in listed for file in files]))
        return [fingerprint_of([next(content) for _ in files]) for files in listed]
