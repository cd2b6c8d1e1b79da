"""What this installation sets in the other modules."""

import os

import rates
import texts

SEED = 7
REGION_FACTOR = float(os.environ.get("TARIFF_REGION_FACTOR", "1.25"))


def apply():
    rates.GRID_FEE = 4.5
    rates.REGION = REGION_FACTOR
    texts.GREETING = "Moin"
    setattr(rates, "ROUNDING", 2)


def reset():
    rates.GRID_FEE = 0.0
