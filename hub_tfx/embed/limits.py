"""EmbedLimits: how much of a job is held in memory, in one file, or lost with a worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EmbedLimits:
    """Sizes that only matter for speed and memory; no output depends on them.

    Attributes:
      window_rows: rows among which those of like size are sought for one call of the module.
      window_output_bytes: upper bound on outputs held at one time.
      files_at_once: upper bound on image files held at one time.
      work_units: lower bound on work units of an input, if ``min_unit_bytes`` allows.
      min_unit_bytes, max_unit_bytes: bounds on bytes of input in a work unit.
      block_s: upper bound on seconds of work that are lost when a worker dies.
      part_bytes: size at which a part file is closed.
      row_group_rows, row_group_bytes: size at which a row group of a Parquet part is closed.
      chunk_rows: upper bound on known rows in memory before they go to a file.
      mapped_bytes: size above which digests of known rows are kept in a file.
      previous_rows: upper bound on rows of an earlier output that are read at one time.
    """

    window_rows: int = 2048
    window_output_bytes: int = 64 << 20
    files_at_once: int = 64
    work_units: int = 64
    min_unit_bytes: int = 64 << 10
    max_unit_bytes: int = 64 << 20
    block_s: float = 300.0
    part_bytes: int = 256 << 20
    row_group_rows: int = 1 << 16
    row_group_bytes: int = 64 << 20
    chunk_rows: int = 1 << 16
    mapped_bytes: int = 1 << 20
    previous_rows: int = 1 << 13


DEFAULT_LIMITS = EmbedLimits()
