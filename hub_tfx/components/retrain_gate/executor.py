"""The executor of RetrainGate."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from apache_beam.io.filesystem import BeamIOError
from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from hub_tfx._text import printable
from hub_tfx._tfx import BaseExecutor, artifact_utils
from hub_tfx.artifacts import read_decision, write_decision
from hub_tfx.components.skipping import given
from hub_tfx.components.spans import spans_of
from hub_tfx.data.filesystems import read_bytes
from hub_tfx.errors import ConfigError, InputError
from hub_tfx.repository.learning import Learner, learner_of
from hub_tfx.retrain.config import RetrainConfig
from hub_tfx.retrain.decision import Span, decide

_log = logging.getLogger(__name__)
_STATISTICS, _ANOMALIES = "FeatureStats.pb", "SchemaDiff.pb"


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

        Raises:
          ConfigError: there are not as many statistics as examples.
          InputError: what earlier steps left is damaged.
        """
        learned = given(input_dict, "learned")
        base = _digest(given(input_dict, "base_module"))
        decision = decide(
            _spans(input_dict["examples"], input_dict.get("statistics") or ()),
            RetrainConfig.from_json(exec_properties["config"]),
            base=base,
            anomalies=[
                told for artifact in input_dict.get("anomalies") or () for told in _wrong(artifact)
            ],
            learned=learned and read_decision(learned),
            in_use=_learner(given(input_dict, "module_in_use"), base),
        )
        _log.info("%s: %s", "to be learned" if decision.learn else "skipped", decision.reasons[0])
        write_decision(artifact_utils.get_single_instance(output_dict["decision"]), decision)


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


def _spans(examples: Sequence[Any], statistics: Sequence[Any]) -> list[Span]:
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


def _rows(statistics: Any) -> int:
    """The number of examples of all splits."""
    documents = _of_splits(statistics, _STATISTICS, statistics_pb2.DatasetFeatureStatisticsList)
    return sum(int(of.num_examples) for parsed in documents.values() for of in parsed.datasets)


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
        return message.FromString(read_bytes(uri))
    except (OSError, BeamIOError, DecodeError) as error:
        raise InputError(
            f"{uri} cannot be read ({error}): run the pipeline again without its cache"
        ) from error
