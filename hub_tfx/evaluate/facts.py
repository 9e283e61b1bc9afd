"""What an evaluation says of a module, for the facts of a published version."""

from hub_tfx.embed.manifest import ModuleRef
from hub_tfx.evaluate.result import Evaluation, Measure
from hub_tfx.repository.facts import Blessing, Metric, Origin

_DATASET = "evaluation"
"""Not the paths that were read, which may tell of somebody's disk."""


def metrics_of(evaluation: Evaluation) -> tuple[Metric, ...]:
    """What was measured of rows, whole before slices."""
    return tuple(_metric(measure) for measure in evaluation.measures if measure.n)


def blessing_of(evaluation: Evaluation) -> Blessing:
    """The verdict, why, and what the module was compared with."""
    return Blessing(evaluation.is_blessed, evaluation.reasons, _origin(evaluation.baseline))


def _metric(measure: Measure) -> Metric:
    return Metric(
        name=measure.name,
        value=measure.value,
        dataset=_DATASET,
        n=measure.n,
        interval=measure.interval,
        baseline=measure.baseline,
        slice=measure.slice,
    )


def _origin(module: ModuleRef | None) -> Origin | None:
    return None if module is None else Origin(module.digest, module.handle)
