"""Several recordings together: merged, by window and group, with trends."""
