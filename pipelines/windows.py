"""Which spans the retraining pipeline reads: what is planned, and the nodes that read them."""

from dataclasses import dataclass
from typing import Any

from hub_tfx.components.window_example_gen.component import WindowExampleGen
from hub_tfx.retrain.config import Window
from hub_tfx.retrain.window import WindowPlan, learned_by, plan_window
from hub_tfx_pipelines.configs import RetrainPipelineConfig

_CORPUS = "CorpusExampleGen"


@dataclass(frozen=True)
class Plans:
    """What is read, as it was before the run.

    Attributes:
      examples: what is learned from.
      corpus: what is embedded; None where that is the same.
    """

    examples: WindowPlan
    corpus: WindowPlan | None = None


def plan_windows(config: RetrainPipelineConfig) -> Plans:
    """Reads the files of the spans, whose content is to stay what it is.

    Args:
      config: a config whose base module and baseline are pinned.

    Raises:
      HubTfxError: there are no spans, or one of them is not whole or cannot be read.
    """
    embedded = config.corpus_window
    corpus = None if embedded is None else _plan(config, embedded)
    return Plans(_plan(config, config.window), corpus)


def make_example_gens(
    config: RetrainPipelineConfig, in_use: Any, base_module: Any, plans: Plans | None
) -> list[WindowExampleGen]:
    """The node that reads what is learned from, and that for what is embedded if it is another.

    Args:
      config: which spans.
      in_use, base_module: channels of type `HubModule`.
      plans: what was planned; None where spans are looked for during the run.
    """
    examples, corpus = (None, None) if plans is None else (plans.examples, plans.corpus)
    nodes = [_node(config, config.window, in_use, base_module, examples)]
    if config.corpus_window is not None:
        node = _node(config, config.corpus_window, in_use, base_module, corpus)
        nodes.append(node.with_id(_CORPUS))
    return nodes


def _plan(config: RetrainPipelineConfig, window: Window) -> WindowPlan:
    learned, gate = None, config.gate
    if window.since == "published" and gate.baseline and gate.baseline_digest:
        learned = learned_by(gate.baseline, gate.baseline_digest, config.module_digest)
    return plan_window(config.data_root, config.patterns, window, learned, pinned=True)


def _node(
    config: RetrainPipelineConfig,
    window: Window,
    in_use: Any,
    base_module: Any,
    plan: WindowPlan | None,
) -> WindowExampleGen:
    reads_module = window.since == "published" and plan is None
    return WindowExampleGen(
        input_base=config.data_root,
        input_config=config.input_config and config.input_config.to_proto(),
        output_config=config.output_config and config.output_config.to_proto(),
        file_format=config.example_gen,
        window=window,
        spans=plan,
        module_in_use=in_use if reads_module else None,
        base_module=base_module if reads_module else None,
    )
