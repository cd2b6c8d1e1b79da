"""The layer between recording and reading: events, and how they are written, read, indexed and kept."""
