"""Find what is missing or impossible in a trace."""
