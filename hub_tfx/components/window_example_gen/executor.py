"""The executor of WindowExampleGen."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import tfx.v1 as tfx
from google.protobuf import json_format

from hub_tfx._tfx import (
    BaseBeamExecutor,
    BaseExampleGenExecutor,
    FileFormat,
    PayloadFormat,
    artifact_utils,
)
from hub_tfx.artifacts import stamp
from hub_tfx.beam.runner import make_pipeline, raise_own_errors
from hub_tfx.components.skipping import given
from hub_tfx.components.spans import SPAN_FINGERPRINTS, SPAN_ROWS
from hub_tfx.components.window_example_gen.read import (
    FileRead,
    read_csv_files,
    read_example_files,
    take_reports,
)
from hub_tfx.data.span_patterns import SpanPattern
from hub_tfx.data.spans import SpanFile, fingerprint_of
from hub_tfx.errors import IncompleteError
from hub_tfx.retrain.config import Window
from hub_tfx.retrain.window import WindowPlan, learned_by, plan_window, planned_files

_log = logging.getLogger(__name__)
FORMATS: Mapping[str, Callable[[Sequence[SpanFile], str], Any]] = {
    "import": read_example_files,
    "csv": read_csv_files,
}
"""What reads the files of a split, and reports on each in a folder."""


class Executor(BaseBeamExecutor):  # type: ignore[misc]
    """Chooses spans, unless they were planned before, and has TFX split and write their rows."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Reads a window of spans.

        Args:
          input_dict:
            - module_in_use: one HubModule, or none.
            - base_module: one HubModule, or none.
          output_dict:
            - examples: one Examples.
          exec_properties: input_base, input_config and output_config (JSON), file_format, window
            (JSON of a Window); spans (JSON of a WindowPlan), or none. Of ``this_run`` only TFX's
            cache takes notice.

        Raises:
          HubTfxError: there are no spans, one of them is not whole, cannot be read, or is not what
            was planned; no artifact is published.
        """
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        base = exec_properties["input_base"]
        patterns = patterns_of(_input_of(exec_properties))
        plan = _plan(input_dict, exec_properties, patterns)
        _log.info("spans to be read: %s", ", ".join(str(span.number) for span in plan.spans))
        files = planned_files(base, patterns, plan)
        read_files = FORMATS[exec_properties["file_format"]]
        with raise_own_errors():
            _Splits(self._pipeline, files, read_files, examples.uri).Do(
                {}, output_dict, _of_splits(exec_properties)
            )
        read = take_reports(examples.uri)
        if [file.key for file in read] != sorted((f.span, f.split, f.name) for f in files):
            raise IncompleteError("a file was read twice or not at all: run the pipeline again")
        _stamp(examples, plan, read)

    def _pipeline(self) -> Any:
        if self._make_beam_pipeline_fn is not None:
            return self._make_beam_pipeline()
        return make_pipeline(self._beam_pipeline_args)


class _Splits(BaseExampleGenExecutor):  # type: ignore[misc]
    """TFX's own way from the rows of input splits to output splits; the rows are ours."""

    def __init__(
        self,
        make_beam_pipeline: Callable[[], Any],
        files: Sequence[SpanFile],
        read_files: Callable[[Sequence[SpanFile], str], Any],
        report: str,
    ):
        """What to read, how, and the folder for the reports on it."""
        super().__init__()
        self._make_beam_pipeline_fn = make_beam_pipeline
        self._files, self._read_files, self._report = files, read_files, report

    def GetInputSourceToExamplePTransform(self) -> Any:  # noqa: N802
        """A function of the parameters and a pattern, which is the name of the split here."""

        def read(_: Any, split: str) -> Any:
            return self._read_files([f for f in self._files if f.split == split], self._report)

        return read


def patterns_of(input_config: Any) -> list[SpanPattern]:
    """The pattern of each split of a ``tfx.proto.Input``."""
    return [SpanPattern(split.name, split.pattern) for split in input_config.splits]


def _input_of(exec_properties: Mapping[str, Any]) -> Any:
    return json_format.Parse(exec_properties["input_config"], tfx.proto.Input())


def _of_splits(exec_properties: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that TFX's executor takes; each split is found by its name."""
    input_config = _input_of(exec_properties)
    for split in input_config.splits:
        split.pattern = split.name
    return {
        "input_base": exec_properties["input_base"],
        "input_config": json_format.MessageToJson(input_config),
        "output_config": exec_properties["output_config"],
        "output_data_format": PayloadFormat.FORMAT_TF_EXAMPLE,
        "output_file_format": FileFormat.FORMAT_TFRECORDS_GZIP,
    }


def _plan(
    input_dict: Mapping[str, Sequence[Any]],
    exec_properties: Mapping[str, Any],
    patterns: Sequence[SpanPattern],
) -> WindowPlan:
    """What was planned before the run, otherwise the window as it is now."""
    if planned := exec_properties.get("spans"):
        return WindowPlan.from_json(planned)
    window, learned = Window.from_json(exec_properties["window"]), None
    in_use = given(input_dict, "module_in_use")
    if window.since == "published" and in_use is not None:
        base = given(input_dict, "base_module")
        learned = learned_by(
            in_use.get_string_custom_property("handle"), _digest(in_use), base and _digest(base)
        )
    return plan_window(exec_properties["input_base"], patterns, window, learned)


def _digest(module: Any) -> str:
    return str(module.get_string_custom_property("digest"))


def _stamp(examples: Any, plan: WindowPlan, read: Sequence[FileRead]) -> None:
    """Says what was read; raises InputError where that is not what was planned."""
    by_span = {number: [*files] for number, files in groupby(read, attrgetter("span"))}
    known_by = {
        number: fingerprint_of((file.split, file.name, file.sha256) for file in files)
        for number, files in by_span.items()
    }
    plan.check(known_by)
    newest = plan.spans[-1]
    fingerprints = json.dumps(known_by)
    stamp(
        examples,
        {
            "span": newest.number,
            "version": newest.version,
            "spans": json.dumps([*known_by]),
            SPAN_FINGERPRINTS: fingerprints,
            SPAN_ROWS: json.dumps({n: sum(f.rows for f in files) for n, files in by_span.items()}),
            "input_fingerprint": hashlib.sha256(fingerprints.encode()).hexdigest(),
        },
    )
