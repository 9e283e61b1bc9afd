"""One folder per TFX component."""
