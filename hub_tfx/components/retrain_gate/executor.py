"""The executor of RetrainGate."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from hub_tfx._text import printable
from hub_tfx._tfx import BaseExecutor, artifact_utils
from hub_tfx.artifacts import RetrainDecision, read_decision, read_statistics, write_decision
from hub_tfx.components.retrain_gate.drift import Statistics, kept, measured
from hub_tfx.components.skipping import given
from hub_tfx.components.spans import spans_of
from hub_tfx.components.state import LEARNED
from hub_tfx.data.filesystems import read_bytes
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.repository.learning import Learner, learner_of
from hub_tfx.retrain.config import RetrainConfig
from hub_tfx.retrain.decision import Decision, Span, decide

_log = logging.getLogger(__name__)
_STATISTICS, _ANOMALIES = "FeatureStats.pb", "SchemaDiff.pb"
_Statistics = statistics_pb2.DatasetFeatureStatisticsList


class Executor(BaseExecutor):  # type: ignore[misc]
    """Compares the examples and the base module with those that were learned last."""

    def Do(  # noqa: N802
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Decides whether to train.

        Args:
          input_dict:
            - examples: one or more Examples.
            - statistics: as many ExampleStatistics, in their order, or none.
            - anomalies: any number of ExampleAnomalies.
            - base_module: one HubModule, or none.
            - learned: one RetrainDecision, or none.
            - module_in_use: one HubModule, or none.
          output_dict:
            - decision: one RetrainDecision.
          exec_properties:
            - config: the JSON of a RetrainConfig.
            - state_dir: a directory that may have `learned.json`, or none.

        Raises:
          ConfigError: there are not as many statistics as examples, or drift is to be measured
            where it cannot be.
          InputError: what earlier steps left is damaged.
        """
        config = RetrainConfig.from_json(exec_properties["config"])
        base = _digest(given(input_dict, "base_module"))
        counted = [_documents(artifact) for artifact in input_dict.get("statistics") or ()]
        statistics = _kept(counted, config)
        last = _last(given(input_dict, "learned"), exec_properties.get("state_dir"))
        decision = decide(
            _spans(input_dict["examples"], counted),
            config,
            base=base,
            anomalies=[
                told for artifact in input_dict.get("anomalies") or () for told in _wrong(artifact)
            ],
            drift=measured(statistics, last.statistics, config.drift) if last else (),
            learned=last.decision if last else None,
            in_use=_learner(given(input_dict, "module_in_use"), base),
        )
        _log.info("%s: %s", "to be learned" if decision.learn else "skipped", decision.reasons[0])
        write_decision(
            artifact_utils.get_single_instance(output_dict["decision"]),
            decision,
            {
                f"Split-{name}/{_STATISTICS}": of.SerializeToString()
                for name, of in statistics.items()
            },
        )


@dataclass(frozen=True)
class _Last:
    """What was learned last.

    Attributes:
      decision: the decision that was carried out.
      statistics: statistics of the examples, of the features whose drift was measured then.
    """

    decision: Decision
    statistics: Statistics


def _last(learned: Any | None, state_dir: str | None) -> _Last | None:
    """What was learned last, by ML Metadata or by a state directory."""
    fix = "run the pipeline again without its cache"
    if learned is None and state_dir:
        uri = LEARNED.read(state_dir)
        if uri is None:
            return None
        learned = RetrainDecision()
        learned.uri = uri
        fix = f"delete {LEARNED.path(state_dir)}, and {LEARNED.without}"
    if learned is None:
        return None
    decision = read_decision(learned, fix)
    parsed = {
        path.partition("/")[0].removeprefix("Split-"): _message(path, content, _Statistics)
        for path, content in read_statistics(learned).items()
    }
    return _Last(decision, parsed)


def _documents(statistics: Any) -> Statistics:
    return _of_splits(statistics, _STATISTICS, _Statistics)


def _kept(counted: Sequence[Statistics], config: RetrainConfig) -> Statistics:
    """The statistics that the next run measures drift by; none where it is not to."""
    if not config.drift:
        return {}
    if len(counted) != 1:
        raise ConfigError(
            f"drift is measured by one ExampleStatistics, and RetrainGate has {len(counted)}: read "
            "all spans by one ExampleGen"
        )
    return kept(counted[0], config.drift)


def _digest(module: Any | None) -> str | None:
    return None if module is None else str(module.get_string_custom_property("digest"))


def _learner(module: Any | None, base: str | None) -> Learner | None:
    """What the version in use has learned.

    Where that is the base module nothing has been published yet: what others have taught the base
    is not what is to be learned from here.
    """
    digest = _digest(module)
    if module is None or digest is None or digest == base:
        return None
    return learner_of(module.get_string_custom_property("handle"), digest)


def _spans(examples: Sequence[Any], statistics: Sequence[Statistics]) -> list[Span]:
    """The spans, those of several artifacts with one number as one."""
    if statistics and len(statistics) != len(examples):
        raise ConfigError(
            f"RetrainGate has {len(examples)} Examples and {len(statistics)} ExampleStatistics: "
            "give the statistics of each"
        )
    found: dict[int, list[Span]] = {}
    for number, artifact in enumerate(examples):
        rows = _rows(statistics[number]) if statistics else None
        for span in spans_of(artifact, rows):
            found.setdefault(span.number, []).append(span)
    return [_span(number, parts) for number, parts in sorted(found.items())]


def _span(number: int, parts: Sequence[Span]) -> Span:
    counts = [part.rows for part in parts if part.rows is not None]
    fingerprints = sorted(part.fingerprint for part in parts)
    one = fingerprints[0] if len(fingerprints) == 1 else json.dumps(fingerprints)
    return Span(number, one, sum(counts) if len(counts) == len(parts) else None)


def _rows(statistics: Statistics) -> int:
    """The number of examples of all splits."""
    return sum(int(of.num_examples) for parsed in statistics.values() for of in parsed.datasets)


def _wrong(anomalies: Any) -> Iterator[str]:
    """What ExampleValidator says of each split, which quotes values as they come."""
    documents = _of_splits(anomalies, _ANOMALIES, anomalies_pb2.Anomalies)
    for split, parsed in documents.items():
        if parsed.data_missing:
            yield f"split {split} has no examples"
        if parsed.HasField("dataset_anomaly_info"):
            yield f"split {split}: {_line(parsed.dataset_anomaly_info.description)}"
        for feature, info in sorted(parsed.anomaly_info.items()):
            told = _line(info.description).rstrip(".")
            yield f"{printable(feature)} in split {split}: {told}"


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _of_splits(artifact: Any, name: str, message: Any) -> Mapping[str, Any]:
    """Split -> what TFX left about it."""
    uris = {
        split: f"{artifact_utils.get_split_uri([artifact], split)}/{name}"
        for split in artifact_utils.decode_split_names(artifact.split_names)
    }
    return {split: _parsed(uri, message) for split, uri in uris.items()}


def _parsed(uri: str, message: Any) -> Any:
    try:
        content = read_bytes(uri)
    except (OSError, BeamIOError) as error:
        raise _damaged(uri, error) from error
    return _message(uri, content, message)


def _message(path: str, content: bytes, message: Any) -> Any:
    try:
        return message.FromString(content)
    except DecodeError as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read ({error}): run the pipeline again without its cache")
