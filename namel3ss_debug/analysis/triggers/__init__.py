"""Limits that a run passed."""
