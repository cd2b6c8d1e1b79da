"""Signals of wrong answers in a run without an error: each is a rule, with the event and the value that prove it."""
