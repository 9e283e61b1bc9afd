"""The demonstration: Python's own documentation, embedded, searched and traced back."""
