"""Pipelines: a create_pipeline for each kind of job, and a file for each way to run one."""
