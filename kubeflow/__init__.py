"""Compiles the pipelines for Vertex AI Pipelines and Kubeflow Pipelines."""
