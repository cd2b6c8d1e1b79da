"""What the model can look up of a ticket."""

from contextlib import contextmanager
from contextvars import ContextVar

from tickets import TICKETS


class TicketError(Exception):
    """A ticket that cannot be checked."""

    def __str__(self):
        return f"({self.args[0]})"


class Overload(RuntimeError):
    """Too much for one run."""


scale = ContextVar("scale", default=10)


@contextmanager
def scaled(factor):
    token = scale.set(factor)
    try:
        yield
    finally:
        scale.reset(token)


class Check:
    """A check, with what the model reads of it."""

    def __init__(self, function, **properties):
        self.function = function
        self.schema = {
            "type": "function",
            "function": {
                "name": function.__name__,
                "description": function.__doc__,
                "parameters": {"type": "object", "properties": properties},
            },
        }

    def run(self, **arguments):
        return self.function(**arguments)


def ticket(number):
    try:
        return TICKETS[number]
    except KeyError:
        raise TicketError(f"no ticket {number}") from None


def severity(number: int) -> float:
    """Return how severe a ticket is."""
    with scaled(20):
        return points(number) / scale.get()


def points(number):
    words = ticket(number)["text"].lower().split()
    return sum(WEIGHTS.get(word.strip("."), 0) for word in words)


def customer_tier(number: int) -> str:
    """Return the tier of the customer."""
    match ticket(number)["since"]:
        case year if year < 2015:
            return "gold"
        case year if year < 2020:
            return "silver"
        case _:
            return "bronze"


def related(number: int) -> list:
    """Return related tickets."""
    own = ticket(number)["product"]
    return [other for other, row in TICKETS.items() if row["product"] == own and other != number] or "none"


WEIGHTS = {"fire": 40, "smoke": 25, "slow": 5}
CHECKS = {
    check.function.__name__: check
    for check in (
        Check(severity, number={"type": "integer"}),
        Check(customer_tier, number={"type": "integer"}),
        Check(related, number={"type": "integer"}),
    )
}
