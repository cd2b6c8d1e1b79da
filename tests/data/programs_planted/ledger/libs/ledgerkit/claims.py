"""Claims, as they come in."""

from datetime import date
from decimal import Decimal
from functools import singledispatch

from pydantic import BaseModel, Field, field_validator


class Claim(BaseModel):
    """A claim of expenses."""

    person: str
    amount: Decimal
    kind: str
    day: date
    receipts: int = Field(default=0, ge=0)

    @field_validator("amount")
    @classmethod
    def _in_cents(cls, value: Decimal) -> Decimal:
        return value.quantize(Decimal("0.01"))

    @property
    def documented(self) -> bool:
        return self.receipts >= 1


@singledispatch
def shown(value):
    return str(value)


@shown.register
def _(value: Decimal):
    return f"{value} EUR"


@shown.register
def _(value: date):
    return f"{value:%d.%m.%Y}"


def summarise(claim):
    return "; ".join(f"{name}: {shown(value)}" for name, value in claim)
