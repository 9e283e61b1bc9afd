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


def test_every_template_and_what_pages_ask_for_is_in_the_wheel():
    (listed,) = re.findall(
        r"^\[tool.setuptools.package-data\]\n(.*?)^\[",
        (ROOT / "pyproject.toml").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    packed = set()
    for package, patterns in re.findall(r'^"?([\w.]+)"? = \[(.*)\]$', listed, re.MULTILINE):
        folder = ROOT / package.replace(".", "/")
        for pattern in re.findall(r'"(.*?)"', patterns):
            packed |= set(folder.glob(pattern))
    needed = {
        p for ending in ("j2", "css", "js", "svg") for p in ROOT.glob(f"hub_tfx/**/*.{ending}")
    }
    assert needed <= packed
