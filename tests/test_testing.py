"""`hub_tfx.testing` is light, and says what it has."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

from hub_tfx import testing


def test_its_list_is_what_it_has():
    public = {
        name
        for name, value in vars(testing).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(testing.__all__) == public


def test_it_imports_neither_pytest_nor_what_is_heavy():
    heavy = {"pytest", "tensorflow", "tfx", "apache_beam", "pyarrow"}
    code = f"import sys, hub_tfx.testing; print(*{heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_every_contract_suite_is_in_the_tour():
    folder = Path(testing.__file__).parent
    suites = [path.stem for path in folder.glob("*.py") if "Contract:" in path.read_text()]
    assert suites
    assert all(f"``{name}``" in testing.__doc__ for name in suites)
