"""Overrides: the mocks and faults that replace recorded answers, their grammar, and which call gets which."""
