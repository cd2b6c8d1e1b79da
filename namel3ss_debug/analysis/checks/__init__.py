"""Rules about a run, and what it did that they do not allow: `check_trace` for programs, the same for `check`."""
