"""What the weather is like: the project module of the programs beside this file."""

STATIONS = {"Oslo": -5, "Rome": 19, "Bergen": 4}
OFFSET = 2
FROST = 0


def measured(city):
    """The temperature that a station has measured, corrected."""
    return STATIONS[city] + OFFSET


def is_frosty(degrees):
    """Whether water freezes."""
    return degrees < FROST


def warmest():
    """The warmest place; no tool asks for it."""
    return max(STATIONS, key=lambda city: STATIONS[city] * 3)
