"""Checks whether others can build on a module: ``check(path)``."""

from hub_tfx.module.check.checks import Check, CheckReport, check

__all__ = ["Check", "CheckReport", "check"]
