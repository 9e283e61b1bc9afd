"""How ExampleGen deals rows to splits."""

from collections.abc import Mapping
from typing import Any


def output_splits(buckets: Mapping[str, int]) -> Any:
    """An output_config: name of a split -> its share, in hash buckets."""
    import tfx.v1 as tfx

    return tfx.proto.Output(
        split_config=tfx.proto.SplitConfig(
            splits=[
                tfx.proto.SplitConfig.Split(name=name, hash_buckets=count)
                for name, count in buckets.items()
            ]
        )
    )
