"""The output of the program: for the terminal, as Markdown, and in files."""
