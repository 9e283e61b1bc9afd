"""Pipelines: one create_pipeline a job, one runner a file."""
