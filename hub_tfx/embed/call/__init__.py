"""Calls of a module: rows to tensors, batches and deadlines, outputs to columns."""
