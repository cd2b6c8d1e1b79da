"""A walk through a recording: where it stands, how it moves, what stops it, and the commands that say so."""
