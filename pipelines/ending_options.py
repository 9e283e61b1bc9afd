"""The options that say how a pipeline ends: with a module, its verdict, or a published version."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from hub_tfx.cli.evaluate_options import OF_GATE, gate_config, gate_options
from hub_tfx.cli.options import add_options, digest_option
from hub_tfx.errors import UsageError

_OF_PUBLICATION = ("name", "card", "aliases")
_OF_ENDING = (
    *("evaluate", "baseline", "baseline_digest", "evaluate_splits"),
    *("repository", *_OF_PUBLICATION),
)


def ending_options(command: Any) -> Any:
    """Adds the options of evaluation and publication; see ``ending_of``."""
    options = (
        click.option(
            "--evaluate",
            is_flag=True,
            help="Judge whether the new module is better than --baseline.",
        ),
        click.option(
            "--baseline",
            metavar="HANDLE",
            help="Compare the new module with this one.  [with --publish, the version in use]",
        ),
        digest_option(
            "--baseline-sha256",
            "--baseline-digest",
            "baseline_digest",
            help="Take only the baseline with this digest.",
        ),
        click.option(
            "--evaluate-split",
            "evaluate_splits",
            multiple=True,
            metavar="SPLIT…",
            help="Judge it on these splits of the examples.  [eval]",
        ),
        gate_options,
        click.option(
            "--publish",
            "repository",
            metavar="REPOSITORY",
            help="Publish the new module in this repository, a directory, s3://… or gs://…, if it "
            "is judged to be better.",
        ),
        click.option("--name", metavar="PUBLISHER/MODEL", help="Publish it under this name."),
        click.option(
            "--card",
            type=click.Path(),
            metavar="FILE",
            help="Publish it with this card: see `hub-tfx card init`.",
        ),
        click.option(
            "--alias",
            "aliases",
            multiple=True,
            metavar="NAME…",
            help="Let these aliases, such as `stable`, stand for the new version. The version of "
            "the first one is the one in use.",
        ),
    )
    return add_options(command, *options)


def ending_of(options: dict[str, Any], label: str | None) -> dict[str, Any]:
    """What ``ending_options`` parsed, which is taken out of the options, checked.

    Args:
      options: all options of the command.
      label: feature with classes, by which vectors can be judged; None where there is none.

    Raises:
      UsageError: options contradict each other, or a value makes no sense.
    """
    given = {name: options.pop(name) for name in _OF_ENDING}
    is_judged = bool(given["evaluate"] or given["baseline"] or given["repository"])
    config = _measured(label, options, is_judged)
    if given["repository"] is None:
        _refuse(given, _OF_PUBLICATION, "--publish")
    elif missing := [f"--{name}" for name in ("name", "card") if given[name] is None]:
        raise UsageError(f"--publish needs {' and '.join(missing)}")
    if given["baseline"] is None:
        _refuse(given, ("baseline_digest",), "--baseline")
    if not is_judged:
        _refuse(given, ("evaluate_splits",), "--evaluate")
    return {**given, "config": config}


def ending_configs(ending: Mapping[str, Any]) -> dict[str, Any]:
    """``gate`` and ``publication`` of a FineTunePipelineConfig, from what ``ending_of`` gave."""
    from hub_tfx.repository.card import read_card
    from hub_tfx_pipelines.publishing import Gate, Publication

    gate = publication = None
    if ending["config"] is not None:
        gate = Gate(
            config=ending["config"],
            splits=ending["evaluate_splits"] or ("eval",),
            baseline=ending["baseline"],
            baseline_digest=ending["baseline_digest"],
        )
    if ending["repository"] is not None:
        publication = Publication(
            repository=ending["repository"],
            name=ending["name"],
            card=read_card(ending["card"]),
            aliases=ending["aliases"],
        )
    return {"gate": gate, "publication": publication}


def _measured(label: str | None, options: dict[str, Any], is_judged: bool) -> Any:
    """The EvaluateConfig; None where the module is not judged."""
    if not is_judged:
        measuring = {name: options.pop(name) for name in OF_GATE}
        _refuse(measuring, OF_GATE, "--evaluate")
        return None
    config = gate_config(label, options)
    if config.label is None and config.pairs is None:
        raise UsageError(
            "the label is not a class by which vectors can be judged: name with --pairs a feature "
            "whose equal values belong together"
        )
    return config


def _refuse(given: Mapping[str, Any], names: Iterable[str], needed: str) -> None:
    for name in names:
        if given[name]:
            raise UsageError(f"{_option(name)} is for {needed}: give both")


def _option(name: str) -> str:
    """The option of the command that has a parameter."""
    options = (p for p in click.get_current_context().command.params if p.name == name)
    return next(options).opts[0]
