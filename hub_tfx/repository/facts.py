"""Derived facts of a module: what ``module.json`` says, and nobody types.

A fact that is not known is left out; there are no placeholders. TensorFlow is not needed.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub_tfx._typed_json import from_plain, known_only, parse_object
from hub_tfx.errors import ConfigError, HubTfxError, InputError
from hub_tfx.module.check.graph import has_weights
from hub_tfx.module.functions import call_traces
from hub_tfx.module.gradients import unsaved_gradients
from hub_tfx.module.inspect import meta_graphs
from hub_tfx.module.manifest import FileEntry, Manifest, is_digest
from hub_tfx.module.proto import damage_reported
from hub_tfx.module.resolved import ResolvedModule
from hub_tfx.module.spec import ModuleFormat, SignatureSpec
from hub_tfx.repository.layout import FACTS, Version
from hub_tfx.repository.storage import Storage


@dataclass(frozen=True)
class Origin:
    """Another module, such as the parent that a module was tuned from.

    Attributes:
      digest: SHA-256 of its manifest, in hex.
      handle: where it came from; None where nobody said.
    """

    digest: str
    handle: str | None = None

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ConfigError(f"{self.digest!r} is not a digest: it takes 64 hex digits")


@dataclass(frozen=True)
class Metric:
    """A number that was measured; raises ConfigError for one that is not finite.

    Attributes:
      name: what was measured, such as ``probe_accuracy``.
      value: the number.
      dataset: name of the rows that it was measured on.
      n: number of rows.
      interval: of 95%.
      baseline: the same of the module that it was compared with.
      slice: ``FEATURE=VALUE`` of the rows; None for all of them.
    """

    name: str
    value: float
    dataset: str
    n: int | None = None
    interval: tuple[float, float] | None = None
    baseline: float | None = None
    slice: str | None = None

    def __post_init__(self) -> None:
        numbers = (self.value, *(self.interval or ()), self.baseline or 0.0)
        if not all(map(math.isfinite, numbers)):
            raise ConfigError(f"the metric {self.name} is not finite: leave it out")


@dataclass(frozen=True)
class Blessing:
    """The verdict of an evaluation.

    Attributes:
      blessed: whether others should get the module.
      why: the reasons in words, the most important first.
      baseline: what it was compared with.
    """

    blessed: bool
    why: tuple[str, ...] = ()
    baseline: Origin | None = None


@dataclass(frozen=True)
class VariantFacts:
    """The module in another format, which was tried beside it.

    Attributes:
      kind: ``serving`` or ``tflite``.
      signature: signature of the module that it serves.
      largest_difference: from the module, over all numbers that it gave for made-up rows.
      size_bytes: size of its files together.
      needs_flex: of TensorFlow Lite: whether it needs the delegate for TensorFlow's own ops.
    """

    kind: str
    signature: str
    largest_difference: float
    size_bytes: int
    needs_flex: bool | None = None


@dataclass(frozen=True)
class Learned:
    """What a module has learned by training again and again.

    Attributes:
      spans: number of each span that it has learned, or one that it was trained from -> fingerprint
        of the span's content.
      base: digest of the module that all began with; None without one.
    """

    spans: Mapping[str, str]
    base: str | None = None


@dataclass(frozen=True)
class Succession:
    """What a version was published to replace.

    Attributes:
      after: digest of the module that was in use, and that the version was judged against.
      alias: the alias that was to move to the version; None where the newest version is in use.
    """

    after: str
    alias: str | None = None


@dataclass(frozen=True)
class ModuleFacts:
    """What is known of a module; ``from_json(f.to_json()) == f``.

    Attributes:
      format: ``tf1_hub`` or ``saved_model``.
      digest: SHA-256 of the manifest, in hex.
      size_bytes: size of all files together.
      files: each file with its size and SHA-256.
      signatures: name -> inputs and outputs with dtype and shape.
      handle: handle under which it is published.
      fine_tunable: whether it has weights that its author lets others train; None where its graph
        was saved without gradients that training may need.
      embedding_dim: dimension of the default signature's only output.
      parent: what it was tuned from.
      metrics: what was measured on it.
      spans: spans of the examples that it was trained on.
      learned: what it has learned, where a RetrainGate decided that it be trained.
      succession: what it was published to replace, where it had to be better than that.
      run: id of the pipeline run that made it.
      code_version: version of the code that made it, such as a commit.
      blessing: the verdict on it.
      variants: other formats that it is published in.
    """

    format: ModuleFormat
    digest: str
    size_bytes: int
    files: tuple[FileEntry, ...]
    signatures: Mapping[str, SignatureSpec]
    handle: str | None = None
    fine_tunable: bool | None = None
    embedding_dim: int | None = None
    parent: Origin | None = None
    metrics: tuple[Metric, ...] = ()
    spans: tuple[int, ...] = ()
    learned: Learned | None = None
    succession: Succession | None = None
    run: str | None = None
    code_version: str | None = None
    blessing: Blessing | None = None
    variants: tuple[VariantFacts, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What is known, as plain JSON."""
        signatures = {name: signature.to_dict() for name, signature in self.signatures.items()}
        return {**known_only(self), "signatures": signatures}

    def to_json(self) -> str:
        """Equal facts give equal bytes."""
        return json.dumps(self.to_dict(), indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, name: str = "module.json") -> "ModuleFacts":
        """The facts of a ``module.json``, called ``name`` in errors.

        Raises:
          InputError: it is not what ``to_json`` writes, or does not fit itself.
        """
        try:
            facts: ModuleFacts = from_plain(cls, parse_object(text))
            _check_files(facts)
        except (ValueError, HubTfxError) as error:
            raise InputError(f"{name} is damaged: {error}: make it again, or copy it") from error
        return facts


def module_facts(
    module: ResolvedModule,
    manifest: Manifest | None = None,
    *,
    handle: str | None = None,
    parent: Origin | None = None,
    metrics: Iterable[Metric] = (),
    spans: Iterable[int] = (),
    learned: Learned | None = None,
    run: str | None = None,
    code_version: str | None = None,
    blessing: Blessing | None = None,
) -> ModuleFacts:
    """What can be read from a module, and what is told of how it came about; see ModuleFacts.

    Args:
      module: the module.
      manifest: the manifest of its files, which are read again for it if None.
      handle: handle under which it is published; that of ``module`` may name a directory here.
      parent, metrics, spans, learned, run, code_version, blessing: as ModuleFacts has them.

    Raises:
      NotAModuleError: the module is damaged.
    """
    manifest = manifest or Manifest.of_directory(module.path)
    return ModuleFacts(
        format=module.spec.format,
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        files=manifest.files,
        signatures=module.spec.signatures,
        handle=handle,
        fine_tunable=_is_fine_tunable(module),
        embedding_dim=module.spec.embedding_dim,
        parent=parent,
        metrics=tuple(metrics),
        spans=tuple(sorted(set(spans))),
        learned=learned,
        run=run or None,
        code_version=code_version or None,
        blessing=blessing,
    )


def facts_of(storage: Storage, version: Version) -> ModuleFacts | None:
    """The facts of a published version; None where it was published without.

    Raises:
      InputError: they are damaged.
    """
    key = f"{version.key}/{FACTS}"
    text = storage.read(key)
    return None if text is None else ModuleFacts.from_json(text, key)


def model_index(name: str, task: str, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Metrics as Hugging Face's ``model-index`` has them, by dataset.

    https://github.com/huggingface/hub-docs/blob/main/modelcard.md
    """
    by_dataset: dict[str, list[Metric]] = {}
    for metric in metrics:
        by_dataset.setdefault(metric.dataset, []).append(metric)
    results = [
        {
            "task": {"type": task},
            "dataset": {"name": dataset, "type": dataset},
            "metrics": [_metric(metric) for metric in group],
        }
        for dataset, group in by_dataset.items()
    ]
    return [{"name": name, "results": results}] if results else []


def _metric(metric: Metric) -> dict[str, Any]:
    more = known_only(metric)
    named = {"type": more.pop("name"), "value": more.pop("value")}
    del more["dataset"]
    return {**named, "args": more} if more else named


def _is_fine_tunable(module: ResolvedModule) -> bool | None:
    graphs = meta_graphs(module.path)
    with damage_reported(module.path):
        if not any(map(has_weights, graphs)):
            return False
        if module.spec.format == "saved_model" and not any(map(_is_traced_for_training, graphs)):
            return False
    return None if unsaved_gradients(module.path) else True


def _is_traced_for_training(graph: Any) -> bool:
    """Whether ``__call__`` takes no ``training``, or takes True."""
    traces = call_traces(graph) or ()
    return any(trace.arguments.get("training") is not False for trace in traces)


def _check_files(facts: ModuleFacts) -> None:
    manifest = Manifest.from_json(Manifest(facts.files).to_json())
    if (manifest.digest, manifest.size_bytes) != (facts.digest, facts.size_bytes):
        raise ValueError("its digest or its size is not that of its files")
