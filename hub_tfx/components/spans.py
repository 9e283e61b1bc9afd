"""The spans of an Examples artifact, as WindowExampleGen, or TFX's own ExampleGen, tells them."""

from typing import Any, TypeVar

from hub_tfx._typed_json import from_plain, parse_object
from hub_tfx.artifacts import read_number
from hub_tfx.errors import InputError
from hub_tfx.retrain.decision import Span

SPAN_FINGERPRINTS, SPAN_ROWS = "span_fingerprints", "span_rows"
_FINGERPRINT = "input_fingerprint"
_Value = TypeVar("_Value")


def spans_of(examples: Any, rows: int | None = None) -> list[Span]:
    """The spans whose rows an artifact holds, by number.

    WindowExampleGen stamps ``span_fingerprints`` and ``span_rows``. Any other artifact holds one
    span, which is known by its ``input_fingerprint``, or by where it lies if it has none.

    Args:
      examples: an Examples artifact.
      rows: the number of its rows, if somebody counted them: for artifacts that do not say it.

    Raises:
      InputError: its custom properties are damaged.
    """
    fingerprints = _by_number(examples, SPAN_FINGERPRINTS, str)
    if not fingerprints:
        known_by = examples.get_string_custom_property(_FINGERPRINT) or examples.uri
        return [Span(read_number(examples, "span"), known_by, rows)]
    counts = _by_number(examples, SPAN_ROWS, int)
    return [Span(number, fingerprints[number], counts.get(number)) for number in fingerprints]


def _by_number(examples: Any, name: str, kind: type[_Value]) -> dict[int, _Value]:
    """A custom property that is a JSON object with the numbers of spans as keys, in order."""
    text = examples.get_string_custom_property(name)
    try:
        values = parse_object(text or "{}").items()
        by_number = {int(number): from_plain(kind, value, name) for number, value in values}
    except ValueError as error:
        raise InputError(
            f"the custom property {name} of {examples.uri} is damaged ({error}): run the pipeline "
            "again without its cache"
        ) from error
    return dict(sorted(by_number.items()))
