"""Log records of the program, which are added to the trace inside the span that they belong to."""
