"""Where two runs stop being the same run: read into rows, aligned by what happened, and compared row by row."""
