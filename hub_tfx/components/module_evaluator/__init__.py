"""ModuleEvaluator: from a module, a baseline and Examples to a verdict."""
