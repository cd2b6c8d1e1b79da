"""One module for each section of an analysis."""
