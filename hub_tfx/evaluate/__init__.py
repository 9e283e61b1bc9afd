"""Compares a module with the one in use, and decides which of them others should get."""
