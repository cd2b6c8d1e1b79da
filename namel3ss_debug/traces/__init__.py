"""The middle layer, which everything else meets in: events, and how they are written, read, indexed and kept."""
