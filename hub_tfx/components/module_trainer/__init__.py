"""ModuleTrainer: from a module and Examples to a tuned module and a serving model."""
