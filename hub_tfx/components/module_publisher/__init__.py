"""ModulePublisher, a TFX component."""
