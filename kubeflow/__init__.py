"""Kubeflow: compile the pipelines for it."""
