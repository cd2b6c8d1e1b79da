"""The recording half: everything that runs inside the traced program, and what launches it."""
