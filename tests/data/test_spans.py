"""Spans of an input: by which names they are found, and what their content is known by."""

import os
from pathlib import Path

import pytest

from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.data.spans import files_of, find_spans, fingerprints_of
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.testing.remote import RemoteFileSystem

ONE = [SpanPattern("rows", "span-{SPAN}/*")]
VERSIONS = [SpanPattern(split, f"{{SPAN:2}}/v{{VERSION}}/{split}-*") for split in ("a", "b")]


def put(folder: Path, *names: str, content: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def fingerprints(base: Path | str, patterns: list[SpanPattern] = ONE) -> dict[int, str]:
    spans = find_spans(str(base), patterns)
    known_by = fingerprints_of(span.versions[span.newest] for span in spans.values())
    return dict(zip(spans, known_by, strict=True))


# --- Patterns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "numbers"),
    [
        ("*{SPAN}*", "data-12.csv", (12, None)),
        ("data{SPAN}0", "data120", (12, None)),
        ("7{SPAN}", "712", (12, None)),
        ("{SPAN:2}{VERSION}/x", "12345/x", (12, 345)),
        ("{YYYY}{MM}{DD}{VERSION:1}", "197001023", (1, 3)),
        ("{YYYY}/{MM}/{DD}/*", "1969/12/31/x", (-1, None)),
        ("**/{SPAN}/**/x", "a/b/3/x", (3, None)),
        ("**/{SPAN}/**/x", "3/c/d/x", (3, None)),
        ("[!a-c]{SPAN}[]^]", "d5]", (5, None)),
        ("span-{SPAN}/*", "span-3.tmp/x", None),
        ("span-{SPAN}/*", "span-3/x/y", None),
        ("span-{SPAN}/?", "span-3//", None),
        ("span-{SPAN:2}/*", "span-123/x", None),
        ("span-{SPAN}/*", "span-\N{ARABIC-INDIC DIGIT ONE}/x", None),
        ("rows[", "rows[", (0, None)),
    ],
)
def test_numbers_are_read_from_names_of_that_form(
    text: str, name: str, numbers: tuple[int, int | None] | None
) -> None:
    read = SpanPattern("rows", text).numbers_of(name)
    assert (read and read[:2]) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{SPAN}-{SPAN}", "twice"),
        ("{SPAN}-{VERSION}-{VERSION:2}", "twice"),
        ("{VERSION}/*", "no span"),
        ("{YYYY}-{MM}/*", "a date in part"),
        ("{YYYY}-{MM}-{DD}-{DD}", "a date in part"),
        ("{YYYY}-{MM}-{DD}-{SPAN}", "and a date"),
        ("{SPAN}{VERSION}", "right after it"),
        ("{SPAN:0}", "a width that is not a number from 1 to 19"),
        ("{SPAN:}", "a width that is not"),
        ("{SPAN:two}", "a width that is not"),
        ("{SPAN:99999999999}", "a width that is not"),
        ("/data/{SPAN}", "leads out of the folder"),
        ("../{SPAN}", "leads out of the folder"),
        ("{SPAN}\0", "leads out of the folder"),
        ("{SPAN}[b-a]", "is not a glob"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"of the split 'rows' .*{message}"):
        SpanPattern("rows", text)


def test_a_date_that_there_is_not_and_a_number_that_is_too_large_are_refused() -> None:
    with pytest.raises(InputError, match="2026-2-30, which is not a date"):
        SpanPattern("rows", "{YYYY}-{MM}-{DD}").numbers_of("2026-02-30")
    with pytest.raises(InputError, match="too large a number"):
        SpanPattern("rows", "{SPAN}").numbers_of(str(2**63))


# --- Spans ---------------------------------------------------------------------------------------


def test_all_spans_are_found_with_the_newest_version_of_each(tmp_path: Path) -> None:
    put(tmp_path, "03/v1/a-0", "03/v1/b-0", "01/v9/a-0", "01/v10/a-0", "01/v10/a-1", "01/v10/b-0")
    put(tmp_path, "02.tmp/v1/a-0", "01/v10/_SUCCESS", "01/v10/.a-2")
    spans = find_spans(str(tmp_path), VERSIONS)
    assert [*spans] == [1, 3]
    assert (spans[1].newest, spans[3].newest) == (10, 1)
    files = files_of(spans[1], 10, VERSIONS)
    assert [(file.split, file.name) for file in files] == [
        ("a", "01/v10/a-0"),
        ("a", "01/v10/a-1"),
        ("b", "01/v10/b-0"),
    ]
    assert files[0].path == str(tmp_path / "01/v10/a-0")


def test_a_split_without_files_of_a_span_is_named(tmp_path: Path) -> None:
    put(tmp_path, "01/v1/a-0", "01/v1/b-0", "01/v2/a-0")
    span = find_spans(str(tmp_path), VERSIONS)[1]
    assert files_of(span, 1, VERSIONS)
    with pytest.raises(InputError, match=r"version 2 of span 1 has files .* a but none for b \("):
        files_of(span, 2, VERSIONS)
    with pytest.raises(InputError, match="version 3 of span 1 is not there any more"):
        files_of(span, 3, VERSIONS)


def test_inputs_in_which_spans_cannot_be_told_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no span in .*a name such as 'span-{SPAN}/\*'"):
        find_spans(str(tmp_path), ONE)
    put(tmp_path, "span-1/x", "span-01/x")
    with pytest.raises(InputError, match="span-01/x and span-1/x are the same span and version"):
        find_spans(str(tmp_path), ONE)
    with pytest.raises(ConfigError, match="tell spans and versions in different ways"):
        find_spans(str(tmp_path), [*ONE, SpanPattern("other", "other/*")])


def test_a_fingerprint_is_of_names_and_content_and_of_nothing_else(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        put(folder, "span-1/a", "span-1/b", "span-2/a")
    known = fingerprints(here)
    assert known == fingerprints(there)
    os.utime(here / "span-1" / "a", (0, 0))
    assert known == fingerprints(here)
    put(here, "span-1/a", content="y")  # Of the same size.
    (there / "span-2" / "a").rename(there / "span-2" / "c")
    assert known[1] != fingerprints(here)[1] != fingerprints(there)[1]
    assert known[2] == fingerprints(here)[2] != fingerprints(there)[2]
    with RemoteFileSystem.at(tmp_path):
        assert fingerprints("remote://here") == fingerprints(here)


def test_a_folder_may_have_any_name_and_links_in_it(tmp_path: Path) -> None:
    base = tmp_path / "[a]*"
    put(base, "span-1/a")
    (base / "span-2").symlink_to(base / "span-1")
    assert [*find_spans(f"{base}/", ONE)] == [1, 2]
    with RemoteFileSystem.at(tmp_path):
        assert [*find_spans("remote://[a]*", ONE)] == [1, 2]
    os.mkfifo(base / "span-1" / "pipe")
    with pytest.raises(InputError, match="span-1/pipe is a FIFO, not a file"):
        find_spans(str(base), ONE)


def test_a_file_that_has_gone_is_named(tmp_path: Path) -> None:
    put(tmp_path, "span-1/a")
    files = files_of(find_spans(str(tmp_path), ONE)[1], None, ONE)
    (tmp_path / "span-1" / "a").unlink()
    with pytest.raises(InputError, match="span-1/a cannot be read"):
        fingerprints_of([files])
