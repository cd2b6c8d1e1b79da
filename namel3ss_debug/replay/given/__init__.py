"""Answers of the user in place of recorded ones: mocks and faults, how they are written, and which call gets which."""
