"""The tones in which agents write."""

from dataclasses import dataclass
from enum import Enum

TONES = {"editor": 120, "guide": 200}


class Mood(Enum):
    """How an agent sounds."""

    CALM = "calm and clear"
    LIVELY = "lively"


@dataclass(frozen=True)
class Tone:
    """A mood, and how much of it."""

    mood: Mood
    degree: str = "quite"

    def __str__(self):
        return f"{self.degree} {self.mood.value}"


def describe(name):
    return str(Tone(Mood[name.upper()]))
