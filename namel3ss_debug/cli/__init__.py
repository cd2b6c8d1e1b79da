"""The command line: thin commands over the layers below, imported when they run."""
