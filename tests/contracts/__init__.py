"""The contract suites of hub_tfx.testing, over every implementation of ours.

A package, so that its files may be called as those are which test the same parts in detail.
"""
