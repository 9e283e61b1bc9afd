"""Labels of training rows: what they are, and which rows have none to learn."""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hub_tfx.data.arrow import is_list, is_number, is_text, leaf_type
from hub_tfx.data.numbers import read_numbers
from hub_tfx.data.tf_example import example_type
from hub_tfx.errors import ConfigError
from hub_tfx.finetune.config import FineTuneConfig

_QUOTED = 40


@dataclass(frozen=True)
class LabelRule:
    """Which labels can be learned.

    Attributes:
      config: the label's feature, and the task.
      classes: names that are known; empty where all are.
    """

    config: FineTuneConfig
    classes: tuple[str, ...] = ()

    def column(self, batch: pa.RecordBatch) -> pa.Array:
        """The labels of a batch, as numbers where the task takes numbers."""
        column = batch.column(batch.schema.get_field_index(self.config.label))
        if pa.types.is_boolean(column.type):  # As tf.Example has it.
            return column.cast(pa.int64())
        are_written = is_text(column.type) or pa.types.is_decimal(column.type)
        has_numbers = not self._are_classes and are_written
        return read_numbers(column, pa.float64()) if has_numbers else column

    def check(self, column: pa.Array) -> tuple[list[list[Any]], dict[int, str]]:
        """The values in each row that can be learned, and the rows without -> reason."""
        values, reasons = [], {}
        for row, given in enumerate(self._lists(column)):
            usable, why = self._of_row(given)
            values.append(usable)
            if why:
                reasons[row] = f"label {self.config.label!r} {why}"
        return values, reasons

    def names(self, values: Sequence[Any]) -> list[str]:
        """Names of the classes among the values of a row; none for tasks without classes."""
        return [class_name(value) for value in values] if self._are_classes else []

    @property
    def _are_classes(self) -> bool:
        return self.config.task in ("classification", "multilabel")

    @staticmethod
    def _lists(column: pa.Array) -> Iterator[list[Any]]:
        for value in column.to_pylist():
            yield list(value or ()) if is_list(column.type) else [value]

    def _of_row(self, given: list[Any]) -> tuple[list[Any], str]:
        # An empty cell of a CSV file is an empty text.
        given = [value for value in given if value is not None and value not in (b"", "")]
        if not given:
            return [], "is missing" if self._are_classes else "is missing or not a number"
        if self.config.task != "multilabel" and len(given) > 1:
            return [], f"has {len(given)} values, and a row has one"
        if not self._are_classes:
            finite = all(math.isfinite(value) for value in given)
            return (given, "") if finite else ([], f"is {given[0]}, not a finite number")
        usable = [v for v in given if not self.classes or class_name(v) in self.classes]
        named = class_name(given[0])[:_QUOTED]
        return usable, "" if usable else f"is {named!r}, which is not one of the classes"


class SeenLabels:
    """The classes of rows; of each row one number is in memory.

    Attributes:
      names: name of a class -> its number, in the order in which they came.
      first: number of the first class of each row.
    """

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.first = array("q")

    def add(self, rows: Iterable[Sequence[str]]) -> None:
        """Adds rows: the names of the classes of each; none for tasks without classes."""
        for names in rows:
            numbers = [self.names.setdefault(name, len(self.names)) for name in names]
            self.first.extend(numbers[:1])


def class_name(value: Any) -> str:
    """The name of a class: a text as it is, and a number as it is written."""
    if isinstance(value, bool):  # As tf.Example has it.
        return str(int(value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def type_of_labels(given: pa.DataType, config: FineTuneConfig) -> pa.DataType:
    """What tf.Example holds of labels in a column of this type.

    Raises:
      ConfigError: the task cannot be learned from it.
    """
    if config.task in ("classification", "multilabel"):
        what = "texts or whole numbers"
        with suppress(ConfigError):
            return example_type(given, config.label)
    else:
        what = "numbers"
        leaf, depth = leaf_type(given)
        are_written = is_text(leaf) or pa.types.is_decimal(leaf)
        are_numbers = is_number(leaf) or pa.types.is_boolean(leaf) or pa.types.is_null(leaf)
        if (are_numbers and depth < 2) or (are_written and not depth):
            return pa.float32()
    raise ConfigError(
        f"label {config.label!r} holds {given}, which {config.task} cannot learn: give {what}"
    )


def find_classes(names: Iterable[str]) -> tuple[str, ...]:
    """The class names among labels, each once: numbers in their order, names in theirs."""
    found = set(names)
    if found and all(name.lstrip("-").isdigit() for name in found):
        return tuple(sorted(found, key=int))
    return tuple(sorted(found))


def check_classes(config: FineTuneConfig, classes: Sequence[str]) -> None:
    """Raises ConfigError where there are too few, or class_weights names another."""
    if config.task == "classification" and len(classes) < 2:
        raise ConfigError(
            f"label {config.label!r} has {len(classes)} class in the training data: "
            "a classifier needs two"
        )
    for name in config.class_weights:
        if name not in classes:
            raise ConfigError(f"class_weights: no class {name!r}; there are {', '.join(classes)}")
