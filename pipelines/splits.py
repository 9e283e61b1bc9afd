"""How ExampleGen reads and splits its input, as dataclasses: TFX takes long to import."""

from dataclasses import dataclass
from typing import Annotated, Any

from hub_tfx._config import Checked, Range
from hub_tfx.errors import ConfigError


@dataclass(frozen=True)
class InputSplit(Checked):
    """Files that make a split.

    Attributes:
      name: name of the split.
      pattern: pattern of its files below data_root, which may hold {SPAN} and {VERSION}, or {YYYY},
        {MM} and {DD}.
    """

    name: str
    pattern: str


@dataclass(frozen=True)
class InputConfig(Checked):
    """Which files ExampleGen reads.

    Attributes:
      splits: the splits, at least one.
    """

    splits: tuple[InputSplit, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names("splits", [split.name for split in self.splits])

    @classmethod
    def of(cls, given: Any) -> "InputConfig | None":
        """Also of a ``tfx.proto.Input``."""
        if given is None or isinstance(given, cls):
            return given
        return cls(tuple(InputSplit(split.name, split.pattern) for split in given.splits))

    def to_proto(self) -> Any:
        """The same as a ``tfx.proto.Input``."""
        import tfx.v1 as tfx

        split = tfx.proto.Input.Split
        return tfx.proto.Input(
            splits=[split(name=of.name, pattern=of.pattern) for of in self.splits]
        )


@dataclass(frozen=True)
class OutputSplit(Checked):
    """A share of the rows.

    Attributes:
      name: name of the split.
      hash_buckets: its share: number of buckets, of those of all splits together.
    """

    name: str
    hash_buckets: Annotated[int, Range(least=1, most=2**31 - 1)]


@dataclass(frozen=True)
class OutputConfig(Checked):
    """How ExampleGen splits rows of one input split.

    Attributes:
      splits: the splits, at least one. Which rows a split gets depends on their order.
      partition_feature_name: feature by whose value rows are put into splits; empty for the whole
        row.
    """

    splits: tuple[OutputSplit, ...]
    partition_feature_name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_names("splits", [split.name for split in self.splits])

    @classmethod
    def of(cls, given: Any) -> "OutputConfig | None":
        """Also of a ``tfx.proto.Output``."""
        if given is None or isinstance(given, cls):
            return given
        config = given.split_config
        splits = tuple(OutputSplit(split.name, split.hash_buckets) for split in config.splits)
        return cls(splits, config.partition_feature_name)

    def to_proto(self) -> Any:
        """The same as a ``tfx.proto.Output``."""
        import tfx.v1 as tfx

        split = tfx.proto.SplitConfig.Split
        config = tfx.proto.SplitConfig(
            splits=[split(name=of.name, hash_buckets=of.hash_buckets) for of in self.splits]
        )
        if self.partition_feature_name:
            config.partition_feature_name = self.partition_feature_name
        return tfx.proto.Output(split_config=config)


def _check_names(key: str, names: list[str]) -> None:
    if not names:
        raise ConfigError(f"{key} is empty: name at least one split")
    for name in names:
        if not name:
            raise ConfigError(f"{key}: a split has no name: give it one, such as train")
        if names.count(name) > 1:
            raise ConfigError(f"{key} names {name!r} twice: give each split a name of its own")
