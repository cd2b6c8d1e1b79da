"""Watching traces while they grow: figures, alert rules and alerts."""
