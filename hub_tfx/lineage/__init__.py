"""ML Metadata as a graph: what a module was made from, and what was made with it."""
