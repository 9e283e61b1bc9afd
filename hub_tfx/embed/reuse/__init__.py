"""Rows that need not be computed again: those of an earlier output, and duplicates."""
