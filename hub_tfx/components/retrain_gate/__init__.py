"""RetrainGate: whether there is anything to learn from."""
