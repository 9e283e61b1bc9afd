"""EmbeddingPusher: from embeddings to the latest generation of a root."""
