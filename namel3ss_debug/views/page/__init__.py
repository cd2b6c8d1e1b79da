"""The trace as one page for a browser: its data, and the file that holds everything."""
