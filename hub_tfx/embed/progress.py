"""How far an embedding job in this process has come; for other processes, see Beam's metrics."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Counts since the process began.

    Attributes:
      rows: how many rows were embedded.
      dead_letters: how many rows were rejected, by the module or before it.
    """

    rows: int = 0
    dead_letters: int = 0


IN_THIS_PROCESS = Progress()
