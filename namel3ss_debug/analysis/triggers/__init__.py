"""Thresholds that a run exceeded."""
