"""Retraining: whether there is anything to learn from, and why."""
