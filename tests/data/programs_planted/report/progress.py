"""What is shown while the report is made."""

import os
import sys


def say(text):
    sys.stdout.write("> " + text + "\n")
    sys.stdout.flush()


def warn(text):
    sys.stderr.write(f"warning: {text}\n")


class Progress:
    """A counter on the terminal."""

    mark = "#"

    def __init__(self, steps):
        self.steps = steps
        self.taken = 0

    def step(self):
        self.taken += 1
        bar = (self.mark * self.taken).ljust(self.steps, ".")
        print(f"[{bar}] {self.taken}/{self.steps}")

    def done(self):
        sys.stdout.flush()
        os.write(1, b"done\n")
