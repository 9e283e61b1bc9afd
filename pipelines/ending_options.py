"""The options that say how a pipeline ends: with a module, its verdict, or a published version."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from hub_tfx._yaml import Scalar
from hub_tfx.cli.evaluate_options import OF_GATE, gate_options
from hub_tfx.cli.options import add_options, digest_option
from hub_tfx.errors import UsageError
from hub_tfx_pipelines.config_file.document import Document
from hub_tfx_pipelines.config_options import origin_of, put_given

_OF_PUBLICATION = ("name", "card", "aliases")
OF_ENDING = (
    *("evaluate", "baseline", "baseline_digest", "evaluate_splits"),
    *("repository", *_OF_PUBLICATION),
    *OF_GATE,
)
_OF_GATE_KEYS = {
    "baseline": "baseline",
    "baseline_digest": "baseline_digest",
    "splits": "evaluate_splits",
}
_OF_PUBLICATION_KEYS = {name: name for name in ("repository", *_OF_PUBLICATION)}
"""Key of a Gate or Publication -> parameter of the command."""


def ending_options(command: Any) -> Any:
    """Adds the options of evaluation and publication; see ``put_ending``."""
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


def put_ending(document: Document, given: Mapping[str, Any]) -> None:
    """Puts what ``ending_options`` parsed, which are the OF_ENDING, over a document.

    Raises:
      UsageError: options contradict each other, or there is nothing to judge by.
    """
    has_gate = _has(document, "gate")
    asked_by = [name for name in ("evaluate", "baseline", "repository") if given[name]]
    _check_ending(document, given, is_judged=bool(asked_by or has_gate))
    _put(document, given, "publication", _OF_PUBLICATION_KEYS)
    _put(document, given, "gate", _OF_GATE_KEYS)
    _put(document, given, "gate.config", {key: name for name, key in OF_GATE.items()})
    if asked_by and not has_gate:
        _put_label(document, asked_by[0])


def _check_ending(document: Document, given: Mapping[str, Any], *, is_judged: bool) -> None:
    """Raises UsageError for an option without the one that it is for, here or in the file."""
    if given["repository"] is not None:
        needed = [name for name in ("name", "card") if not _has(document, "publication", name)]
        if missing := [f"--{name}" for name in needed if given[name] is None]:
            raise UsageError(f"--publish needs {' and '.join(missing)}")
    elif not _has(document, "publication"):
        _refuse(given, _OF_PUBLICATION, "--publish")
    if given["baseline"] is None and not _has(document, "gate", "baseline"):
        _refuse(given, ("baseline_digest",), "--baseline")
    if not is_judged:
        _refuse(given, ("evaluate_splits", *OF_GATE), "--evaluate")


def _put(
    document: Document, given: Mapping[str, Any], above: str, names: Mapping[str, str]
) -> None:
    values = {key: given[name] for key, name in names.items()}
    put_given(document, values, tuple(above.split(".")), names)


def _put_label(document: Document, asked_by: str) -> None:
    """Judges by the label that is learned, where it is a class.

    Raises:
      UsageError: it is not, and no option names a feature instead.
    """
    label, task = (document.get(("fine_tune", key)) for key in ("label", "task"))
    if not isinstance(label, Scalar):
        return  # It is missing, or wrong, which is told with all else.
    if isinstance(task, Scalar) and task.text != "classification":
        if _has(document, "gate", "config", "pairs"):
            return
        raise UsageError(
            "the label is not a class by which vectors can be judged: name with --pairs a feature "
            "whose equal values belong together"
        )
    document.put(("gate", "config", "label"), label.text, origin_of(asked_by))


def _has(document: Document, *path: str) -> bool:
    return document.get(path) is not None


def _refuse(given: Mapping[str, Any], names: Iterable[str], needed: str) -> None:
    for name in names:
        if given[name]:
            raise UsageError(f"{_option(name)} is for {needed}: give both")


def _option(name: str) -> str:
    """The option of the command that has a parameter."""
    options = (p for p in click.get_current_context().command.params if p.name == name)
    return next(options).opts[0]
