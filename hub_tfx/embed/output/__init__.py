"""The files of an output: written, committed, resumed, read back."""
