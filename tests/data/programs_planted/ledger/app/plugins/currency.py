"""Amounts in another currency."""

from ledgerkit.money import convert

NAME = "in_dollars"


def run(claim):
    return f"{convert(claim.amount):.2f} USD"
