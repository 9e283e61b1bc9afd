"""Batch embedding on Apache Beam. Elements are record batches, never single rows."""
