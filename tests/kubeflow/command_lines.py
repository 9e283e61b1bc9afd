"""The command lines of the golden files, one a pipeline, and what a compiled job says."""

from pathlib import Path

import hub_tfx

GOLDEN = Path(__file__).parent / "golden"
IMAGE = "registry.example.org/hub-tfx:1"
_VERSIONS = {"tfx_version", "tfx_py_version", "sdkVersion"}
DIGEST = "0123456789abcdef" * 4
COMMON = ["--data-root", "gs://bucket/corpus", "--pipeline-root", "gs://bucket/artifacts"]
COMMON += ["--module", "https://modules.example.org/acme/text/1", "--image", IMAGE]
EMBED = f"--digest {DIGEST} --input-map text=body --keep id".split()
FINETUNE = f"--digest {DIGEST} --label topic --text title body --kept photo --steps 50".split()
RETRAIN = f"--digest {DIGEST} --label topic --steps 50 --schema gs://bucket/schema.pbtxt".split()
PUBLISH = ["--publish", "gs://bucket/modules", "--name", "acme/words", "--alias", "stable"]
PUBLISH += ["--card", str(GOLDEN / "card.md")]
STATE = ["--state-dir", "gs://bucket/state"]
PIPELINES = {
    "embed": [*COMMON, *EMBED],
    "finetune": [*COMMON, *FINETUNE],
    "retrain": [*COMMON, *RETRAIN, *PUBLISH],
}
"""The command lines; for Vertex AI Pipelines with STATE for retraining."""


def assert_golden(text: str, name: str, update: bool) -> None:
    """Compares with a golden file, or writes it.

    hub_tfx's version, which a step has as a parameter, is left out.
    """
    text = text.replace(f'"{hub_tfx.__version__}"', '"VERSION"')
    if update:
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text(), "if that is meant: pytest --update-golden"


def without_versions(document):
    """Without the versions of what compiled it."""
    if isinstance(document, dict):
        return {
            key: "VERSION" if key in _VERSIONS else without_versions(value)
            for key, value in document.items()
        }
    return [without_versions(item) for item in document] if isinstance(document, list) else document


def executors(job):
    """Container specs by step."""
    specs = job["pipelineSpec"]["deploymentSpec"]["executors"]
    return {name.removesuffix("_executor"): spec["container"] for name, spec in specs.items()}


def parameters(job, step):
    task = job["pipelineSpec"]["root"]["dag"]["tasks"][step]
    constants = {
        name: value["runtimeValue"]["constantValue"]
        for name, value in task["inputs"]["parameters"].items()
    }
    return {name: next(iter(constant.values())) for name, constant in constants.items()}
