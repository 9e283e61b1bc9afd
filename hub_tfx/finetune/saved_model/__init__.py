"""Fine-tuning TF2 SavedModels."""
