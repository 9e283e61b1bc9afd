"""What pyproject.toml says of the wheel, which no test of this tree would miss."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTALLED = {"hub_tfx": "hub_tfx", "kubeflow": "hub_tfx_kubeflow", "pipelines": "hub_tfx_pipelines"}


def test_every_package_is_in_the_wheel():
    (listed,) = re.findall(
        r"^packages = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE
    )
    packages = set()
    for folder, name in INSTALLED.items():
        for path in (ROOT / folder).rglob("__init__.py"):
            packages.add(".".join([name, *path.parent.relative_to(ROOT / folder).parts]))
    assert sorted(packages) == re.findall(r'"(.*)"', listed)
