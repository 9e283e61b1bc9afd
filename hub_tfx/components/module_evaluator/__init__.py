"""ModuleEvaluator, a TFX component."""
