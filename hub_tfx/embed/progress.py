"""How far an embedding job in this process has come; for other processes, see Beam's metrics."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Counts since the process began, by calls of the module.

    Attributes:
      rows: how many rows were embedded.
      dead_letters: how many rows were rejected, by the module or before it.
      expected: how many of both there will be; None where only reading tells.
    """

    rows: int = 0
    dead_letters: int = 0
    expected: int | None = None

    @property
    def done(self) -> int:
        """Rows that are over, one way or the other."""
        return self.rows + self.dead_letters

    def expect(self, rows: int | None) -> None:
        """Says how many rows come, on top of those that are done."""
        self.expected = None if rows is None else self.done + rows


IN_THIS_PROCESS = Progress()
