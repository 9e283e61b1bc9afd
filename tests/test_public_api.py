"""What `import hub_tfx` gives, and that its docstring tells the truth."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

import hub_tfx

ROOT = Path(__file__).parents[1]


def test_every_name_of_the_list_resolves():
    for name in hub_tfx.__all__:
        assert getattr(hub_tfx, name) is not None
        home = hub_tfx._HOMES.get(name)
        if home is not None:
            assert getattr(hub_tfx, name) is getattr(importlib.import_module(home), name)


def test_the_list_is_what_dir_and_star_give():
    assert dir(hub_tfx) == sorted(hub_tfx.__all__)
    assert len(set(hub_tfx.__all__)) == len(hub_tfx.__all__)
    namespace = {}
    exec("from hub_tfx import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(hub_tfx.__all__)


def test_the_list_is_sorted_so_that_a_person_finds_a_name():
    assert list(hub_tfx._HOMES) == sorted(hub_tfx._HOMES)


def test_every_public_name_has_a_docstring():
    assert all(getattr(hub_tfx, name).__doc__ for name in hub_tfx.__all__)


@pytest.mark.parametrize("name", ["nothing", "_private", "Handle"])
def test_an_unknown_attribute_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"module 'hub_tfx' has no attribute '{name}'"):
        getattr(hub_tfx, name)


def test_the_old_name_of_a_resolved_module_works_and_warns_whoever_uses_it():
    with pytest.warns(DeprecationWarning, match=r"EmbedModule .* use hub_tfx\.Resol") as warned:
        assert hub_tfx.EmbedModule is hub_tfx.ResolvedModule
    assert [warning.filename for warning in warned] == [__file__]


def test_the_examples_of_the_tour_run():
    result = doctest.testmod(hub_tfx)
    assert result.attempted
    assert not result.failed


def test_every_name_that_the_tour_mentions_is_public():
    mentioned = set(re.findall(r"hub_tfx\.([A-Za-z]\w*)", hub_tfx.__doc__))
    assert mentioned
    for name in mentioned - {"module"}:
        assert name in hub_tfx.__all__


def test_the_version_is_that_of_the_project():
    (version,) = re.findall(r'(?m)^version = "(.*)"$', (ROOT / "pyproject.toml").read_text())
    assert version == hub_tfx.__version__


def test_importing_the_package_imports_nothing_of_its_own():
    tree = ast.parse(Path(hub_tfx.__file__).read_text())
    imported = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert {ast.unparse(statement) for statement in imported} == {
        "import importlib",
        "from typing import Any",
    }
