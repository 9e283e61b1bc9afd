"""WindowExampleGen: the rows of several spans in one Examples artifact."""
