"""From the dataclass of a pipeline to plain values, to YAML, and to a table of all values."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_args, get_origin

from hub_tfx._yaml import flow
from hub_tfx_pipelines.config_file.build import core_of, form_of, hints_of
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
    form = form_of(hint)
    if form is not None and value is not None:
        return form.text(value)
    if is_dataclass(value):
        hints = hints_of(type(value))
        return {name: plain(hint, getattr(value, name)) for name, hint in hints.items()}
    if isinstance(value, (tuple, list)):
        inner = get_args(core_of(hint))[0]
        return [plain(inner, item) for item in value]
    if isinstance(value, Mapping):
        inner = get_args(core_of(hint))[1]
        return {key: plain(inner, item) for key, item in value.items()}
    return value


def default_of(key: Any) -> Any:
    """The default of a field of a dataclass; MISSING if it has none."""
    return key.default if key.default_factory is MISSING else key.default_factory()


def _lines(config: Any, indent: str) -> Iterator[str]:
    hints = hints_of(type(config))
    for key in fields(config):
        value = getattr(config, key.name)
        default = default_of(key)
        if default is not MISSING and value == default:
            continue
        yield from _entry(key.name, hints[key.name], value, indent)


def _entry(name: str, hint: Any, value: Any, indent: str) -> Iterator[str]:
    if _is_nested(hint, value):
        below = [*_lines(value, indent + _INDENT)]
    elif inner := _of_nested(hint):
        entries = (_entry(flow(k), inner, v, indent + _INDENT) for k, v in value.items())
        below = [line for entry in entries for line in entry]
    else:
        yield f"{indent}{name}: {flow(plain(hint, value))}"
        return
    yield f"{indent}{name}:{'' if below else ' {}'}"
    yield from below


def _values(config: Any, above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, hint in hints_of(type(config)).items():
        value, path = getattr(config, name), (*above, name)
        if _is_nested(hint, value):
            yield from _values(value, path)
        elif value and _of_nested(hint):
            for key, item in value.items():
                yield from _values(item, (*path, key))
        else:
            yield path, plain(hint, value)


def _is_nested(hint: Any, value: Any) -> bool:
    """Whether a value has keys of its own; a card is a dataclass, and stands there as its path."""
    return is_dataclass(value) and is_dataclass(core_of(hint))


def _of_nested(hint: Any) -> Any:
    """The annotation of what has keys of its own in a mapping; None for other annotations."""
    core = core_of(hint)
    inner = get_args(core)[1] if get_origin(core) is Mapping else None
    return inner if is_dataclass(core_of(inner)) else None
