"""Windows of spans: which are chosen, and whether these are what is read."""

from pathlib import Path

import pytest
from published import card, module

from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.repository.facts import Learned, module_facts
from hub_tfx.repository.publish import publish
from hub_tfx.retrain.config import Window, check_window
from hub_tfx.retrain.window import WindowPlan, learned_by, plan_window, planned_files

PATTERNS = [SpanPattern("rows", "span-{SPAN}/*")]
PUBLISHED = Window(since="published")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for span in (1, 3, 10):
        write(tmp_path, span)
    return tmp_path


def write(base: Path, span: int, content: str = "rows") -> None:
    (base / f"span-{span}").mkdir(exist_ok=True)
    (base / f"span-{span}" / "part").write_text(content)


def plan(base: Path, window: Window, learned: Learned | None = None) -> WindowPlan:
    return plan_window(str(base), PATTERNS, window, learned, pinned=True)


def numbers(base: Path, window: Window, learned: Learned | None = None) -> list[int]:
    return [span.number for span in plan_window(str(base), PATTERNS, window, learned).spans]


def learned(base: Path) -> Learned:
    """What has been learned where all that there is has been."""
    now = plan(base, Window(since="first")).spans
    return Learned({str(span.number): span.fingerprint or "" for span in now}, "base")


def test_the_last_spans_are_read_whatever_their_gaps(base: Path) -> None:
    assert numbers(base, Window()) == [10]
    assert numbers(base, Window(last=2)) == [3, 10]
    assert numbers(base, Window(last=9)) == [1, 3, 10]
    assert numbers(base, Window(since="first")) == [1, 3, 10]


def test_since_what_is_published_new_late_and_rewritten_spans_are_read(base: Path) -> None:
    assert numbers(base, PUBLISHED) == [1, 3, 10]
    known = learned(base)
    assert numbers(base, PUBLISHED, known) == [10]
    write(base, 2)
    write(base, 11)
    assert numbers(base, PUBLISHED, known) == [2, 11]
    write(base, 1, "other")
    assert numbers(base, PUBLISHED, known) == [1, 2, 11]


def test_what_is_read_has_to_be_what_was_planned(base: Path) -> None:
    pinned = plan(base, Window(last=2))
    assert WindowPlan.from_json(pinned.to_json()) == pinned
    assert [file.name for file in planned_files(str(base), PATTERNS, pinned)] == [
        "span-3/part",
        "span-10/part",
    ]
    known = {span.number: span.fingerprint or "" for span in pinned.spans}
    pinned.check(known)
    with pytest.raises(InputError, match="span 3 has changed since the run was planned"):
        pinned.check({**known, 3: "other"})
    (base / "span-3" / "part").unlink()
    with pytest.raises(InputError, match="span 3 is not there any more: run the pipeline again"):
        planned_files(str(base), PATTERNS, pinned)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"spans": []}', '{"spans": [{"number": "1"}]}'])
def test_a_damaged_plan_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="the plan of a window is damaged"):
        WindowPlan.from_json(text)


def test_a_window_needs_spans_that_are_told_apart() -> None:
    all_files = [SpanPattern("rows", "*")]
    check_window(Window(last=1), all_files)
    with pytest.raises(ConfigError, match=r"the pattern '\*' does not tell spans apart"):
        check_window(Window(last=2), all_files)
    with pytest.raises(ConfigError, match="give one of them"):
        Window(last=2, since="first")


def test_without_spans_all_files_are_span_0(tmp_path: Path) -> None:
    (tmp_path / "part").write_text("rows")
    whole = plan_window(str(tmp_path), [SpanPattern("rows", "*")], Window())
    assert [(span.number, span.version) for span in whole.spans] == [(0, None)]


def test_what_counts_as_learned_is_what_the_version_in_use_says(tmp_path: Path) -> None:
    known = Learned({"1": "fingerprint"}, base="b" * 64)
    made = module(tmp_path / "words")
    facts = module_facts(made, learned=known)
    version = publish(made, tmp_path / "modules", "acme/words", card=card(tmp_path), facts=facts)
    assert learned_by(version.handle, made.digest, known.base) == known
    assert learned_by(version.handle, made.digest, None) == known
    # Training starts from the base where that is a new one, or is in use itself.
    assert learned_by(version.handle, made.digest, "c" * 64) is None
    assert learned_by(version.handle, made.digest, made.digest) is None
    assert learned_by(str(made.path), made.digest, known.base) is None
