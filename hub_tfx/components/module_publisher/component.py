"""ModulePublisher: from a blessed HubModule to a version of a repository."""

import json
from collections.abc import Sequence

import tfx.v1 as tfx

from hub_tfx import __version__
from hub_tfx._tfx import (
    BaseChannel,
    BaseComponent,
    Channel,
    ChannelParameter,
    ComponentSpec,
    ExecutionParameter,
    ExecutorClassSpec,
    RuntimeParameter,
)
from hub_tfx.artifacts import HubModule, ModuleEvaluation, RetrainDecision
from hub_tfx.components.module_publisher.executor import Executor
from hub_tfx.repository.card import Card, read_card
from hub_tfx.repository.names import ModuleName, check_settable
from hub_tfx.repository.variants.make import check_kinds

_artifacts = tfx.types.standard_artifacts


class ModulePublisherSpec(ComponentSpec):  # type: ignore[misc]
    """Inputs, outputs and parameters of ModulePublisher."""

    PARAMETERS = {  # noqa: RUF012
        "repository": ExecutionParameter(type=str),
        "name": ExecutionParameter(type=str),
        "card": ExecutionParameter(type=str),
        "aliases": ExecutionParameter(type=str),
        "variants": ExecutionParameter(type=str),
        "state_dir": ExecutionParameter(type=str, optional=True),
        "hub_tfx_version": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "module": ChannelParameter(type=HubModule),
        "blessing": ChannelParameter(type=_artifacts.ModelBlessing, optional=True),
        "evaluation": ChannelParameter(type=ModuleEvaluation, optional=True),
        "decision": ChannelParameter(type=RetrainDecision, optional=True),
        "baseline": ChannelParameter(type=HubModule, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "published": ChannelParameter(type=HubModule),
        "learned": ChannelParameter(type=RetrainDecision, optional=True),
    }


class ModulePublisher(BaseComponent):  # type: ignore[misc]
    """Publishes a module as the next version of a name, if it is blessed.

    Component `outputs` contains:
     - `published`: Channel of type `HubModule`: the version in use afterwards, with its `handle`,
       `repository`, `name`, `version` and `digest`. Its `outcome` is `published`, or another one if
       this run has not published it, which `why` explains: see hub_tfx.repository.once. No artifact
       where the blessing says no.
     - `learned`: Channel of type `RetrainDecision`, where there is a `decision`: the same, once it
       has been carried out to its end, whatever the blessing says. `latest_decision()` finds it. No
       artifact where nothing was to be learned, or the verdict was outdated.
    """

    SPEC_CLASS = ModulePublisherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        module: BaseChannel,
        blessing: BaseChannel | None = None,
        *,
        repository: str,
        name: str,
        card: str | Card,
        aliases: Sequence[str] = (),
        variants: Sequence[str] = (),
        evaluation: BaseChannel | None = None,
        decision: BaseChannel | None = None,
        baseline: BaseChannel | None = None,
        state_dir: str | RuntimeParameter | None = None,
    ):
        """Constructs a ModulePublisher.

        Args:
          module: A channel of type `HubModule`.
          blessing: A channel of type `ModelBlessing`, such as that of ModuleEvaluator. Without one
            every module is published.
          repository: directory, `s3://…` or `gs://…`, that the step reaches.
          name: `publisher/model`.
          card: path of the card, which is read now, or a Card; see docs/cards.md.
          aliases: aliases that stand for the version afterwards.
          variants: formats that it is published in as well: `serving`, `tflite`.
          evaluation: A channel of type `ModuleEvaluation`: what it measured becomes part of the
            version's derived facts.
          decision: A channel of type `RetrainDecision`: whether there is a module at all.
          baseline: A channel of type `HubModule`: what the module was judged against. Nothing is
            published where something else is in use by now. Without one it does not matter.
          state_dir: directory on any Beam filesystem, in which `learned.json` is to name what was
            learned last: for runners that resolve no artifacts of earlier runs.

        Raises:
          HandleError, ConfigError: a name, an alias or the card breaks a rule.
          InputError: the card cannot be read.
        """
        ModuleName.parse(name)
        card = card if isinstance(card, Card) else read_card(card)
        super().__init__(
            spec=ModulePublisherSpec(
                module=module if decision is None else module.as_optional(),
                blessing=blessing,
                evaluation=evaluation,
                decision=decision,
                baseline=baseline,
                repository=repository,
                name=name,
                card=card.source.decode(),
                aliases=json.dumps([check_settable(alias) for alias in aliases]),
                variants=json.dumps(check_kinds(variants)),
                state_dir=state_dir,
                hub_tfx_version=__version__,
                published=Channel(type=HubModule),
                learned=None if decision is None else Channel(type=RetrainDecision),
            )
        )
