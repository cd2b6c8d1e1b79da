"""Currencies."""

from decimal import Decimal

RATES = {"USD": Decimal("1.08"), "CHF": Decimal("0.96")}


class Money:
    """An amount that adds up with others of its kind."""

    def __init__(self, amount, currency="EUR"):
        self.amount = Decimal(amount)
        self.currency = currency

    def __add__(self, other):
        return Money(self.amount + other.amount, self.currency)

    def __repr__(self):
        return f"{self.amount:.2f} {self.currency}"


def convert(amount, currency="USD"):
    return amount * RATES[currency]
