"""Log records of the program, put into the recording inside the span that they belong to."""
