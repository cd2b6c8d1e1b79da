"""Receipts."""

from . import Rule


class Receipts(Rule):
    """A claim is documented."""

    key = "receipts"

    def holds(self, claim):
        return claim.documented


class Strict(Receipts, Rule):
    """Each hundred euros need a receipt."""

    key = "strict_receipts"

    def holds(self, claim):
        return super().holds(claim) and claim.receipts * 100 >= claim.amount
