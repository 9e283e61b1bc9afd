"""What our executors have in common that run a Beam pipeline."""

from typing import Any

from hub_tfx._tfx import BaseBeamExecutor
from hub_tfx.beam.runner import make_pipeline


class BeamStep(BaseBeamExecutor):  # type: ignore[misc]
    """An executor of a component that makes its Beam pipeline as the commands make theirs."""

    def _pipeline(self) -> Any:
        """A new pipeline: that of whoever runs the executor, where they say how it is made."""
        if self._make_beam_pipeline_fn is not None:
            return self._make_beam_pipeline()
        return make_pipeline(self._beam_pipeline_args)
