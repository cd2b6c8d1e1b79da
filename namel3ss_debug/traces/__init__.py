"""The waist: events, how they are written, read, indexed and kept."""
