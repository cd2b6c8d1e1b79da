"""What the programs of the finance department share."""

from .claims import Claim, summarise
from .rules import load_rules

__all__ = ["Claim", "load_rules", "summarise"]
