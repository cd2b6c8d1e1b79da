"""Limits of amounts."""

from decimal import Decimal

from ..money import Money
from . import Rule

LIMITS = {"travel": Decimal(200), "meals": Decimal(40)}
RESERVE = "10"


class Limit(Rule):
    """An amount is within the limit of its kind."""

    key = "limit"
    weight = 2

    def holds(self, claim):
        return claim.amount <= LIMITS[claim.kind]

    def reason(self, claim, passed):
        left = Money(LIMITS[claim.kind] - claim.amount) + Money(RESERVE)
        return f"{left!r} left"
