"""Published versions of modules: immutable, named, described, found again."""
