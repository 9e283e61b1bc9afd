"""Fine-tuning modules in TF1 hub format, with Estimator and hub.LatestModuleExporter."""
