"""TFX and Apache Beam components for workflows built on TensorFlow Hub modules.

A module is a self-contained piece of a TensorFlow graph, with its weights and assets. Its handle
says where it comes from, and may end in a version:

>>> from hub_tfx import ModuleHandle
>>> handle = ModuleHandle.parse("https://tfhub.dev/google/nnlm-en-dim128/2")
>>> handle.version
2

A cache resolves the handle into a verified local copy. The digest of that copy identifies the
module, and its signatures can be read without running it::

    module = hub_tfx.ModuleCache().resolve("https://example.org/nnlm/1")
    module.spec.get_signature_names()              # ['default']

Code that calls TensorFlow Hub itself takes its modules from the same cache, unchanged, after one
line::

    hub_tfx.install_resolver()
    layer = hub.KerasLayer("https://example.org/nnlm/1")

Apache Beam embeds files with the module. Rows that cannot be embedded become dead letters, each
with a reason::

    result = hub_tfx.embed_files(
        module, ["corpus/*.csv"], "out", hub_tfx.EmbedConfig(keep=("id",))
    )

In a TFX pipeline, each step is a component, and ML Metadata records every artifact::

    resolver = hub_tfx.ModuleResolver(handle="https://example.org/nnlm/1")
    generator = hub_tfx.EmbeddingGenerator(
        examples=example_gen.outputs["examples"], module=resolver.outputs["module"]
    )

Fine-tuning on labelled rows makes a new module with the signatures of its parent::

    hub_tfx.fine_tune_files(
        module, ["train.csv"], [], "tuned", hub_tfx.FineTuneConfig(label="topic")
    )

An evaluation compares it with another module on rows that neither has learned from, and says
whether it is better::

    evaluation = hub_tfx.evaluate_files(
        tuned, module, ["test.csv"], "evaluation", hub_tfx.EvaluateConfig(label="topic")
    )
    evaluation.verdict                             # 'blessed'

In a Beam pipeline of your own, use ``hub_tfx.EmbedRecordBatches``, a PTransform of pyarrow record
batches. ``hub_tfx.module.create`` makes modules from word vectors, Keras models and graphs.

Names are imported when they are first used, so ``import hub_tfx`` loads neither TensorFlow nor Beam
nor TFX.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "EmbedConfig": "hub_tfx.embed.config",
    "EmbedRecordBatches": "hub_tfx.embed.transform",
    "EmbedResult": "hub_tfx.embed.job",
    "EmbeddingGenerator": "hub_tfx.components.embedding_generator.component",
    "EmbeddingPusher": "hub_tfx.components.embedding_pusher.component",
    "EvaluateConfig": "hub_tfx.evaluate.config",
    "Evaluation": "hub_tfx.evaluate.result",
    "FineTuneConfig": "hub_tfx.finetune.config",
    "FineTuneResult": "hub_tfx.finetune.job",
    "HubModule": "hub_tfx.artifacts",
    "HubTfxError": "hub_tfx.errors",
    "Manifest": "hub_tfx.module.manifest",
    "ModuleCache": "hub_tfx.store.cache",
    "ModuleEvaluation": "hub_tfx.artifacts",
    "ModuleEvaluator": "hub_tfx.components.module_evaluator.component",
    "ModuleHandle": "hub_tfx.module.handle",
    "ModulePublisher": "hub_tfx.components.module_publisher.component",
    "ModuleResolver": "hub_tfx.components.module_resolver.component",
    "ModuleSpec": "hub_tfx.module.spec",
    "ModuleTrainer": "hub_tfx.components.module_trainer.component",
    "NewModule": "hub_tfx.finetune.new_module",
    "PushedEmbeddings": "hub_tfx.artifacts",
    "ResolvedModule": "hub_tfx.module.resolved",
    "RetrainConfig": "hub_tfx.retrain.config",
    "RetrainDecision": "hub_tfx.artifacts",
    "RetrainGate": "hub_tfx.components.retrain_gate.component",
    "Window": "hub_tfx.retrain.config",
    "WindowExampleGen": "hub_tfx.components.window_example_gen.component",
    "embed_files": "hub_tfx.embed.job",
    "evaluate_files": "hub_tfx.evaluate.job",
    "fine_tune_files": "hub_tfx.finetune.job",
    "inspect": "hub_tfx.module.inspect",
    "install_resolver": "hub_tfx.drop_in.resolver",
    "latest_generation": "hub_tfx.embed.generations",
    "latest_module": "hub_tfx.components.latest_module",
    "list_generations": "hub_tfx.embed.generations",
    "load": "hub_tfx.module.load",
    "push_generation": "hub_tfx.embed.output.push",
    "read_embeddings": "hub_tfx.embed.output.read_back",
}

# Not in __all__, so that a star import does not warn.
_OLD_NAMES = {"EmbedModule": "hub_tfx.module.resolved"}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or _OLD_NAMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
