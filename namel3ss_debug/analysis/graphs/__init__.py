"""Which span needed which: the graph of a run, its critical path, and what could have run at the same time."""
