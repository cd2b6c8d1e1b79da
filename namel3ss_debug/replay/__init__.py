"""Going through a recording: walking it, stopping in it."""
