"""TFX and Apache Beam components for workflows built on TensorFlow Hub modules."""

__version__ = "0.1.0"
