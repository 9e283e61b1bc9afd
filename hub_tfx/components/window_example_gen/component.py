"""WindowExampleGen: from the files of several spans to one Examples artifact."""

from typing import Any

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseBeamComponent,
    BaseChannel,
    BeamExecutorSpec,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    RuntimeParameter,
    generate_output_split_names,
    make_default_input_config,
    make_default_output_config,
)
from hub_tfx.artifacts import HubModule
from hub_tfx.components.remote_state import THIS_RUN
from hub_tfx.components.window_example_gen.executor import FORMATS, Executor, patterns_of
from hub_tfx.errors import ConfigError
from hub_tfx.retrain.config import Window, check_window
from hub_tfx.retrain.window import WindowPlan


class WindowExampleGenSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of WindowExampleGen."""

    PARAMETERS = {  # noqa: RUF012
        "input_base": ExecutionParameter(type=str),
        "input_config": ExecutionParameter(type=tfx.proto.Input),
        "output_config": ExecutionParameter(type=tfx.proto.Output),
        "file_format": ExecutionParameter(type=str),
        "window": ExecutionParameter(type=str),
        "spans": ExecutionParameter(type=str, optional=True),
        "this_run": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "module_in_use": ChannelParameter(type=HubModule, optional=True),
        "base_module": ChannelParameter(type=HubModule, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=tfx.types.standard_artifacts.Examples)
    }


class WindowExampleGen(BaseBeamComponent):  # type: ignore[misc]
    """Reads the rows of several spans, as TFX's ImportExampleGen or CsvExampleGen reads one.

    It has no driver of its own, so it runs wherever TFX does: spans are looked for when the step
    runs, and TFX's cache never has it, unless the spans were planned before the run.

    Component `outputs` contains:
     - `examples`: Channel of type `Examples`. Custom properties, besides those of TFX (`span` and
       `version` are those of the newest span): `spans` (JSON list of the numbers),
       `span_fingerprints` and `span_rows` (JSON: number -> fingerprint of names and content, and
       number of rows), `input_fingerprint`.
    """

    SPEC_CLASS = WindowExampleGenSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(
        self,
        input_base: str | RuntimeParameter,
        input_config: Any = None,
        output_config: Any = None,
        *,
        file_format: str = "import",
        window: Window | None = None,
        spans: WindowPlan | None = None,
        module_in_use: BaseChannel | None = None,
        base_module: BaseChannel | None = None,
    ):
        """Constructs a WindowExampleGen.

        Args:
          input_base: folder with the input, on any filesystem that Beam knows.
          input_config: a `tfx.proto.Input`: pattern of each split, with {SPAN} and {VERSION}, or
            with {YYYY}, {MM} and {DD}. All files of the folder as one span if None.
          output_config: a `tfx.proto.Output`: how the rows of one input split are split; 2:1 into
            train and eval if None.
          file_format: `import` for TFRecord files of tf.Example, `csv` for CSV files.
          window: which spans; the newest one if None.
          spans: what hub_tfx.retrain.window.plan_window has planned, which must still be there.
          module_in_use: A channel of type `HubModule`, or with nothing: the version in use, for a
            window since what is published. What it has not learned is read.
          base_module: A channel of type `HubModule`: the base. Where the version in use began with
            another one, training starts from the base, and nothing counts as learned.

        Raises:
          ConfigError: the configs or the window do not fit each other.
        """
        window = window or Window()
        input_config = input_config or make_default_input_config()
        output_config = output_config or make_default_output_config(input_config)
        _check(input_config, output_config, file_format, window)
        if window.since == "published" and spans is None and module_in_use is None:
            raise ConfigError(
                "a window since what is published needs to know what that is: give module_in_use"
            )
        super().__init__(
            spec=WindowExampleGenSpec(
                input_base=input_base,
                input_config=input_config,
                output_config=output_config,
                file_format=file_format,
                window=window.to_json(),
                spans=spans and spans.to_json(),
                this_run=THIS_RUN if spans is None else None,
                module_in_use=module_in_use,
                base_module=base_module,
                hub_tfx_version=__version__,
                examples=Channel(type=tfx.types.standard_artifacts.Examples),
            )
        )

    @property
    def READS_REMOTE_STATE(self) -> bool:  # noqa: N802
        """Whether its spans are looked for when it runs."""
        return self.exec_properties.get("spans") is None


def _check(input_config: Any, output_config: Any, file_format: str, window: Window) -> None:
    if file_format not in FORMATS:
        raise ConfigError(f"file_format {file_format!r} is not one of {', '.join(FORMATS)}")
    try:
        generate_output_split_names(input_config, output_config)
    except RuntimeError as error:
        raise ConfigError(f"input_config and output_config: {error}") from error
    check_window(window, patterns_of(input_config))
