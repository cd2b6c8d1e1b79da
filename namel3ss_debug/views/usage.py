"""Cells and notes that several reports share: operations, failures, amounts, and what is known of prices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from namel3ss_debug.prices import INSTALL, OWN, is_extra_installed
from namel3ss_debug.traces.costs import RECORDED
from namel3ss_debug.views.blocks import Block, Note
from namel3ss_debug.views.quantities import (
    count,
    is_number,
    money,
    tokens,
)
from namel3ss_debug.views.tables import Cell
from namel3ss_debug.views.terminal import COMPONENT_STYLES, ERROR, text

SHOWN = 10
"""Rows of a list in the report; the JSON document has more of them."""

Section = Mapping[str, Any]


def unpriced(used: Any, models: Mapping[str, Any]) -> Iterator[Note]:
    """Yield a note on the models whose calls have no cost, and how they get one.

    Args:
        used: how many tokens there were.
        models: the number of such calls by model.
    """
    if not models or not used:
        return
    if not is_extra_installed():
        yield Note(price_hint())
        return
    yield Note(f"without a price: {name_models(models)}; the setting prices can give one")


def name_models(models: Mapping[str, Any]) -> str:
    """Return models with their numbers of calls."""
    named = [f"{model or 'a model without a name'} ({count(n, 'call')})" for model, n in models.items()]
    rest = f" and {len(named) - SHOWN:,} more" if len(named) > SHOWN else ""
    return f"{', '.join(named[:SHOWN])}{rest}"


def spent(cost: float | None, without_price: int) -> str:
    """Return an amount of money, and the number of calls without a known cost."""
    known = money(cost) if cost else ""
    return (
        f"{known or 'not known'}  ({count(without_price, 'call')} of unknown cost)"
        if without_price
        else known
    )


def price_hint() -> str:
    """Describe how to install the published prices, where they are not installed."""
    return f"{INSTALL} adds what models cost; so does the setting prices"


def price_source(source: str) -> str:
    """Return the source of a cost, for the text after the amount; empty where the cost was recorded."""
    return {RECORDED: "", OWN: "by the setting prices"}.get(source, f"by {source}")


def operation(row: Section) -> str:
    """Return the component of a row with its name: `tool search`."""
    component, label = str(row.get("component") or ""), row.get("component_name")
    return f"{component} {label}" if label else component


def failure_words(row: Section) -> str:
    """Return the type and the text of a failure, as Python prints them."""
    return ": ".join(str(row[key]) for key in ("error_type", "error") if row.get(key))


def operation_cell(row: Section) -> Cell:
    """Return the component of a row with its name, in the colour of the component."""
    return text(operation(row), COMPONENT_STYLES.get(str(row.get("component") or ""), ""), 120)


def event_numbers(numbers: object, most: int) -> str:
    """Return the first numbers of a list of events; empty for a value that is no list."""
    if not isinstance(numbers, list):
        return ""
    return " ".join(map(str, numbers[:most])) + (" …" if len(numbers) > most else "")


def failed(number_failed: Any) -> Cell:
    """Return a number of failures, in the colour of failures; nothing where there were none."""
    return text(tokens(number_failed), ERROR) if number_failed else ""


def amount(value: Any) -> str:
    """Return a number of tokens; nothing where there were none."""
    return tokens(value) if value else ""


def more(total: Any, shown: int) -> Iterator[Block]:
    """Yield a note on what is not shown."""
    if is_number(total) and total > shown:
        yield Note(f"… {total - shown:,.0f} more; --format json lists them")
