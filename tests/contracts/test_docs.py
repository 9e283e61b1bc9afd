"""The example of docs/testing.md is a contract suite that runs, here on our reader of lines."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hub_tfx.data.readers.text import TextReader

_GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"


def _example() -> type:
    example, *_ = re.findall(r"```python\n(.*?)```", _GUIDE.read_text(), flags=re.DOTALL)
    names: dict = {"__name__": __name__}
    lines = ModuleType("my_package.lines")
    lines.LinesReader = TextReader
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "my_package", ModuleType("my_package"))
        patch.setitem(sys.modules, "my_package.lines", lines)
        exec(example, names)
    return names["TestLinesReader"]


TestLinesReader = _example()
