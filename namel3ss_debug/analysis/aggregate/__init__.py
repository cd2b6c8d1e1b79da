"""Analyze several traces together: merged, by window and group, with trends."""
