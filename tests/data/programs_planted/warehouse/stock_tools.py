"""The tools of the warehouse."""

import subprocess
import sys

from storage import rows
from toolkit import Tool

SAFETY = 1.5


class DatabaseTool(Tool):
    """A tool that reads the database."""

    order_by = "name"

    def __init__(self, database):
        self.database = database

    def render(self, result):
        return super().render({"unit": self.unit, "result": result})


class StockLevel(DatabaseTool):
    name = "stock_level"
    description = "How many pieces are in stock."

    def run(self, sku):
        found = rows(self.database, "SELECT shelf, pieces FROM stock WHERE sku = ? ORDER BY shelf", sku)
        return {"sku": sku, "total": sum(row["pieces"] for row in found), "shelves": found}


class Suppliers(DatabaseTool):
    name = "suppliers"
    description = "Who delivers an article, the cheapest first."

    order_by = "price"

    def run(self, sku):
        query = f"SELECT name, price FROM suppliers WHERE sku = ? AND days <= 14 ORDER BY {self.order_by}"
        return rows(self.database, query, sku)[: self.limit()]

    def limit(self):
        return 2


class Reorder(DatabaseTool):
    name = "reorder_amount"
    description = "How many pieces to order."
    unit = "boxes"

    def run(self, sku):
        stock = rows(self.database, "SELECT SUM(pieces) AS total FROM stock WHERE sku = ?", sku)[0]["total"]
        needed = self.demand(sku) * SAFETY - stock
        return self.boxes(needed)

    def demand(self, sku):
        return rows(self.database, "SELECT AVG(sold) AS mean FROM sales WHERE sku = ?", sku)[0]["mean"]

    @staticmethod
    def boxes(pieces, size=12):
        return max(0, -int(-pieces // size))


class Forecast(Tool):
    name = "forecast"
    description = "What is sold in the next weeks."
    weeks = 4

    def run(self, sku):
        command = [sys.executable, "forecast.py", sku, "--weeks", str(self.weeks)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        ordered = subprocess.run(["sort", "-r"], input=done.stdout, capture_output=True, text=True, check=True)
        return ordered.stdout.splitlines()
