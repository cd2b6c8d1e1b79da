"""The tools of the guide."""

import csv
from pathlib import Path
from typing import Literal

from langchain_core.tools import StructuredTool, tool
from pydantic import BaseModel, Field

HERE = Path(__file__).parent
CHILD = 0.5
WEATHER = {"Bergen": ("rain", 9), "Oslo": ("sun", 14)}


def load(name):
    with open(HERE / name, newline="") as file:
        return list(csv.DictReader(file))


def fits(place, indoors):
    return not indoors or place["roof"] == "yes"


@tool
def weather(city: str) -> str:
    """Return the weather in a city."""
    sky, degrees = WEATHER[city]
    return f"{sky}, {degrees} °C"


@tool
def find_places(city: str, indoors: bool = True) -> list[str]:
    """Find places to visit in a city."""
    found = [place for place in load("places.csv") if place["city"] == city and fits(place, indoors)]
    return [f"{place['name']} ({place['minutes']} min)" for place in found]


class Party(BaseModel):
    """Who goes there."""

    adults: int = Field(description="how many adults")
    children: int = Field(default=0, description="how many children")
    day: Literal["weekday", "weekend"] = "weekday"


def _price(adults: int, children: int = 0, day: str = "weekday") -> dict:
    base = 120 if day == "weekend" else 100
    total = base * adults + base * CHILD * children
    return {"total": total, "currency": "NOK"}


ticket_price = StructuredTool.from_function(
    _price, name="ticket_price", description="Return what the tickets cost.", args_schema=Party
)

TOOLS = [weather, find_places, ticket_price]
