"""The digest of a user's function changes with what it does, and with nothing else."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from hub_tfx.module.code_digest import code_digest

_CODE = """\
import math
from functools import partial

import {name}_helpers as helpers

SIZES = {{"table": [64, 3], "names": {{"a", "b", "c"}}}}


class Layer:
    units = 3

    def call(self, values):
        return [v * 2 for v in values]


def helper(n):
    return n + 1


def with_default(n=4):
    return n


other = partial(helper, 3)


def module_fn(rate=0.1):
    size = SIZES["table"]
    layer = Layer()
    inner = lambda v: helper(v) + math.sqrt(2) + with_default()
    return layer.call([inner(s) for s in size]), other(), helpers.width()
"""
_HELPERS = "def width():\n    return 7\n"


def digest_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str] = ("", "")
) -> str:
    """Of module_fn in a new module, whose code or helpers were changed."""
    name = "the_users"  # The same each time, as in a file that was edited.
    for suffix, code in {"": _CODE.format(name=name), "_helpers": _HELPERS}.items():
        (folder / f"{name}{suffix}.py").write_text(code.replace(*change) if change[0] else code)
        sys.modules.pop(f"{name}{suffix}", None)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    return code_digest(importlib.import_module(name).module_fn)


@pytest.mark.parametrize(
    "change",
    [
        ("rate=0.1", "rate=0.2"),
        ("[64, 3]", "[64, 4]"),
        ('"c"', '"d"'),
        ("v * 2", "v * 3"),
        ("units = 3", "units = 4"),
        ("n + 1", "n + 2"),
        ("n=4", "n=5"),
        ("partial(helper, 3)", "partial(helper, 4)"),
        ("math.sqrt(2)", "math.sqrt(3)"),
        ("math.sqrt", "math.exp"),
        ("return 7", "return 8"),
    ],
    ids=" -> ".join,
)
def test_what_the_function_does_or_names_is_in_the_digest(
    change: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(tmp_path, monkeypatch)
    assert digest_of(tmp_path, monkeypatch, change) != before


@pytest.mark.parametrize(
    "change",
    [
        ("def helper", "\n\n# Why.\ndef helper"),
        ("import math\n", "import math\n\n"),
        ("class Layer", "def nobody_calls_it():\n    return 1\n\n\nclass Layer"),
    ],
    ids=["a comment", "an empty line", "what nobody names"],
)
def test_what_makes_no_difference_is_not(
    change: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest_of(tmp_path, monkeypatch)
    assert digest_of(tmp_path, monkeypatch, change) == before


def test_it_is_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order of sets, and wherever objects lie."""
    here = digest_of(tmp_path, monkeypatch)
    script = (
        "from hub_tfx.module.code_digest import code_digest; import the_users\n"
        "print(code_digest(the_users.module_fn))"
    )
    for seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join([str(tmp_path), *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == here


def test_any_callable_has_one() -> None:
    class Maker:
        def __call__(self) -> int:
            return 1

        def make(self) -> int:
            return 2

    found = {code_digest(f) for f in (Maker(), Maker().make, Maker, len, lambda: 3)}
    assert len(found) == 5


def test_functions_that_name_each_other_end() -> None:
    def even(n: int) -> bool:
        return n == 0 or odd(n - 1)

    def odd(n: int) -> bool:
        return n != 0 and even(n - 1)

    assert code_digest(even) != code_digest(odd)
