"""From the dataclass of a pipeline to plain values, to YAML, and to a table of all values."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin

from hub_tfx._config import Form
from hub_tfx._yaml import flow
from hub_tfx_pipelines.config_file.build import core_of, hints_of
from hub_tfx_pipelines.config_file.document import Document, Path
from hub_tfx_pipelines.config_file.registry import PIPELINE

_INDENT = "  "


def to_yaml(name: str, config: Any) -> str:
    """A file that says the same: values that are not the default.

    Args:
      name: name of the pipeline.
      config: its config.

    Raises:
      ConfigError: a card is not that of a file.
    """
    return "\n".join((f"{PIPELINE}: {flow(name)}", *_lines(config, ""), ""))


def rows_of(document: Document, config: Any) -> list[tuple[str, Any, str]]:
    """Each key, its plain value, and where it comes from."""
    return [(".".join(path), value, document.origin_of(path)) for path, value in _values(config)]


def plain(hint: Any, value: Any) -> Any:
    """A value as texts, numbers, truth values, None, lists and mappings."""
    form = _form_of(hint)
    if form is not None and value is not None:
        return form.text(value)
    if is_dataclass(value):
        hints = hints_of(type(value))
        return {name: plain(hint, getattr(value, name)) for name, hint in hints.items()}
    if isinstance(value, (tuple, list)):
        inner = get_args(core_of(hint))[0]
        return [plain(inner, item) for item in value]
    return value


def default_of(key: Any) -> Any:
    """The default of a field of a dataclass; MISSING if it has none."""
    return key.default if key.default_factory is MISSING else key.default_factory()


def _form_of(hint: Any) -> Form | None:
    if get_origin(hint) is Annotated:
        extra = get_args(hint)[1]
        return extra if isinstance(extra, Form) else None
    forms = (_form_of(inner) for inner in get_args(hint) if inner is not type(None))
    return next(forms, None) if type(None) in get_args(hint) else None


def _lines(config: Any, indent: str) -> Iterator[str]:
    hints = hints_of(type(config))
    for key in fields(config):
        value = getattr(config, key.name)
        default = default_of(key)
        if default is not MISSING and value == default:
            continue
        if is_dataclass(value) and is_dataclass(core_of(hints[key.name])):
            below = [*_lines(value, indent + _INDENT)]
            yield f"{indent}{key.name}:{'' if below else ' {}'}"
            yield from below
        else:
            yield f"{indent}{key.name}: {flow(plain(hints[key.name], value))}"


def _values(config: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, hint in hints_of(type(config)).items():
        value, path = getattr(config, name), (*above, name)
        if is_dataclass(value) and is_dataclass(core_of(hint)):
            yield from _values(value, path)
        else:
            yield path, plain(hint, value)
