"""What a callable takes and gives: nests of dicts, lists and tuples, whose tensors have keys."""

from collections.abc import Callable, Mapping
from typing import Any

from hub_tfx.module.spec import TRAINING_FLAGS, TensorInfo


class Record(dict[str, Any]):
    """The fields of a ``tf.experimental.ExtensionType`` by name.

    Attributes:
      type: its registered name.
    """

    def __init__(self, type: str, fields: Mapping[str, Any]):
        super().__init__(fields)
        self.type = type


def map_arguments(
    arguments: Mapping[str, Any], function: Callable[[str, Any], Any]
) -> dict[str, Any]:
    """Applies ``function(key, leaf)`` to the leaves of a callable's nested arguments.

    The keys are the names by which users know the inputs of ``__call__``: the argument's name for a
    tensor, ``name_0``, ``name_1`` for a list, the dict's own keys for a dict and the names of its
    fields for a named tuple (after ``name/`` where more than one argument has such names, or two
    tensors would have one key).
    """
    named = [name for name, value in arguments.items() if _fields(value) is not None]
    prefixed = len(named) > 1

    def mapped(prefixed: bool, function: Callable[[str, Any], Any]) -> dict[str, Any]:
        return {
            name: _map_leaves(
                "" if name in named and not prefixed else name.lstrip("*"), value, function
            )
            for name, value in arguments.items()
        }

    if named and not prefixed:
        keys: list[str] = []
        mapped(False, lambda key, leaf: keys.extend([key] if isinstance(leaf, TensorInfo) else []))
        prefixed = len(set(keys)) < len(keys)
    return mapped(prefixed, function)


def tensors_of(arguments: Mapping[str, Any]) -> list[tuple[str, TensorInfo]]:
    """The tensors among a callable's arguments, with their keys, in order."""
    found: list[tuple[str, TensorInfo]] = []

    def collect(key: str, leaf: Any) -> None:
        if isinstance(leaf, TensorInfo):
            found.append((key, leaf))

    map_arguments(arguments, collect)
    return found


def training_constants(arguments: Mapping[str, Any]) -> list[str]:
    """The arguments that switch training behaviour on or off by a constant, or leave it open."""
    flags = [name for name in TRAINING_FLAGS if name in arguments]
    return [name for name in flags if arguments[name] is None or isinstance(arguments[name], bool)]


def call_with(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Calls a function with what ``map_arguments`` gave: by name, except where ``*name`` collects
    arguments, since those before it can only be given by their places then."""
    names = list(arguments)
    starred = next((place for place, name in enumerate(names) if name.startswith("*")), None)
    if starred is None:
        return function(**arguments)
    places = [arguments[name] for name in names[:starred]]
    by_name = {name: arguments[name] for name in names[starred + 1 :]}
    return function(*places, *arguments[names[starred]], **by_name)


def name_outputs(result: Any) -> dict[str, Any]:
    """The leaves of what a callable returns, by the keys under which users know them.

    ``default`` for a tensor, ``output_0`` … for a list, a dict's own keys for a dict and the names
    of its fields for a named tuple; deeper leaves by their path (``encoder_outputs_0``).
    """
    leaves: dict[str, Any] = {}

    def collect(key: str, leaf: Any) -> None:
        leaves[key] = leaf

    if _fields(result) is not None:
        _map_leaves("", result, collect)
    elif isinstance(result, (list, tuple)):
        _map_leaves("output", result, collect)
    else:
        leaves["default"] = result
    return leaves


def _map_leaves(key: str, value: Any, function: Callable[[str, Any], Any]) -> Any:
    """A nest like ``value`` of what ``function(key, leaf)`` gives."""
    fields = _fields(value)
    if fields is not None:
        mapped = {
            name: _map_leaves(f"{key}/{name}" if key else name, fields[name], function)
            for name in fields
        }
        return _like(value, mapped)
    if isinstance(value, (list, tuple)):
        items = [_map_leaves(f"{key}_{i}", item, function) for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    return function(key, value)


def _fields(value: Any) -> Mapping[str, Any] | None:
    """What has names: the items of a dict, the fields of a named tuple or an ExtensionType."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if hasattr(value, "_tf_extension_type_cached_fields"):  # TensorFlow is not imported here.
        fields = vars(value).items()
        return {name: field for name, field in fields if not name.startswith("_tf_")}
    return None


def _like(value: Any, fields: Mapping[str, Any]) -> Any:
    """The named values of another nest in the type of this one; of an ExtensionType a dict."""
    if hasattr(value, "_make"):
        return value._make(fields.values())
    return Record(value.type, fields) if isinstance(value, Record) else fields
