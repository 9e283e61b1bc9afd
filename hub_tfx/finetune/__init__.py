"""Fine-tuning: a module goes in, a new one with its parent's signatures comes out."""
