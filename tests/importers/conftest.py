"""Fixtures of the importers: the tree of a trace as a text."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest


@pytest.fixture
def draw():
    """The function that returns the tree of a table of spans, as `Counted` in `test_samples.py` describes it."""
    return draw_table


def draw_table(table):
    """Return the tree of a table by component."""
    below = defaultdict(list)
    for row in reversed(range(len(table))):  # a span stands behind its parent
        inner = group(below[row])
        name = "turn" if table.turn[row] else table.component(row)
        below[max(table.parent[row], -1)].append(f"{name}({inner})" if inner else name)
    return group(below[-1])


def group(shapes):
    """Return shapes of spans beside each other, sorted."""
    counted = sorted(Counter(shapes).items())
    return " ".join(shape if number == 1 else f"{number} {shape}" for shape, number in counted)
