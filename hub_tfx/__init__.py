"""TFX and Apache Beam components for workflows built on TensorFlow Hub modules.

A module is a self-contained piece of a TensorFlow graph with its weights and assets. This package
takes one from its handle to embeddings of a corpus:

>>> from hub_tfx import ModuleHandle
>>> handle = ModuleHandle.parse("https://tfhub.dev/google/nnlm-en-dim128/2")
>>> handle.version
2

A handle is resolved into a verified local copy, whose digest is the identity of the module; its
signatures are known without running it::

    module = hub_tfx.ModuleCache().resolve("https://example.org/nnlm/1")
    module.spec.get_signature_names()              # ['default']

Files are embedded on Apache Beam, rows that cannot be go to dead letters with a reason::

    result = hub_tfx.embed_files(
        module, ["corpus/*.csv"], "out", hub_tfx.EmbedConfig(keep=("id",))
    )

and in a TFX pipeline every step is a component, every artifact in ML Metadata::

    resolver = hub_tfx.ModuleResolver(handle="https://example.org/nnlm/1")
    generator = hub_tfx.EmbeddingGenerator(
        examples=example_gen.outputs["examples"], module=resolver.outputs["module"]
    )

A module is tuned on labelled rows, and comes out as a new module with the parent's signatures::

    hub_tfx.fine_tune_files(
        module, ["train.csv"], [], "tuned", hub_tfx.FineTuneConfig(label="topic")
    )

A pipeline of your own takes ``hub_tfx.EmbedRecordBatches``, a PTransform on pyarrow record batches.
Modules are made with ``hub_tfx.module.create``. Names are imported when they are first used, so
``import hub_tfx`` costs neither TensorFlow nor Beam nor TFX.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "EmbedConfig": "hub_tfx.embed.config",
    "EmbedModule": "hub_tfx.module.resolved",
    "EmbedRecordBatches": "hub_tfx.embed.transform",
    "EmbedResult": "hub_tfx.embed.job",
    "EmbeddingGenerator": "hub_tfx.components.embedding_generator.component",
    "FineTuneConfig": "hub_tfx.finetune.config",
    "FineTuneResult": "hub_tfx.finetune.job",
    "HubModule": "hub_tfx.artifacts",
    "HubTfxError": "hub_tfx.errors",
    "Manifest": "hub_tfx.module.manifest",
    "ModuleCache": "hub_tfx.store.cache",
    "ModuleHandle": "hub_tfx.module.handle",
    "ModuleResolver": "hub_tfx.components.module_resolver.component",
    "ModuleSpec": "hub_tfx.module.spec",
    "ModuleTrainer": "hub_tfx.components.module_trainer.component",
    "NewModule": "hub_tfx.finetune.new_module",
    "ResolvedModule": "hub_tfx.module.resolved",
    "embed_files": "hub_tfx.embed.job",
    "fine_tune_files": "hub_tfx.finetune.job",
    "inspect": "hub_tfx.module.inspect",
    "latest_module": "hub_tfx.components.latest_module",
    "load": "hub_tfx.module.load",
    "read_embeddings": "hub_tfx.embed.output.read_back",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
