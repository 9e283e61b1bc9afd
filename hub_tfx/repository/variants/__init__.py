"""Other forms of a published module, made from it and tried against it."""
