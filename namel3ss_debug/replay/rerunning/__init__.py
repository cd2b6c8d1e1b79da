"""A program run again on its recorded answers: what was recorded, what is asked now, and where the two part."""
