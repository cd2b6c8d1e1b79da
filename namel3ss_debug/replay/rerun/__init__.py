"""Run a program again on its recorded answers, and report where the run and the trace diverge."""
