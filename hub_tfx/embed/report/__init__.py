"""What embeddings look like: a page, numbers, and files for TensorBoard's projector."""
