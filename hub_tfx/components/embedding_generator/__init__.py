"""EmbeddingGenerator: from Examples and a module to Examples with embeddings."""
