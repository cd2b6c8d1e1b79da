"""The tools, made from the tables."""

import configparser
import functools
import json
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
GRID_FEE = 0.0
REGION = 1.0
ROUNDING = 0


def read_tables():
    with open(HERE / "tariffs.toml", "rb") as file:
        tariffs = tomllib.load(file)
    taxes = configparser.ConfigParser()
    taxes.read(HERE / "taxes.ini")
    return tariffs, taxes


def make_cost(name, price, base):
    """Make the tool for one tariff."""
    vat = 0.19

    def cost(kwh):
        net = kwh * price / 100 + base * 12
        return round((net + GRID_FEE * REGION) * (1 + vat), ROUNDING)

    cost.__name__ = f"{name}_cost"
    return cost


def saving(kwh, share, bonus=0):
    """Return what is saved when a share of the energy is saved."""
    return f"{kwh * share / 100 + bonus:.0f} kWh"


def make_counter(start=0):
    asked = start

    def next_offer(kwh=0):
        nonlocal asked
        asked += 1
        return f"offer {asked} for {kwh} kWh"

    return next_offer


def compiled(path):
    """Make a tool of the formula in a file."""
    namespace = {}
    source = path.read_text()
    exec(compile(source, str(path), "exec"), namespace)
    return namespace["co2_emission"]


@functools.lru_cache(maxsize=8)
def emission_factors():
    return json.loads((HERE / "factors.json").read_text())


def heat_pump_demand(kwh):
    factors = emission_factors()
    return {"demand": kwh * factors["heat_pump"], "class": classify(kwh)}


classify = lambda kwh: "large" if kwh > 3000 else "small"  # noqa: E731


def make_tools():
    tariffs, taxes = read_tables()
    tools = {}
    for name, row in tariffs.items():
        base = row["base"] + taxes.getfloat("fees", "meter")
        tools[f"{name}_cost"] = make_cost(name, row["price"], base)
    tools["saving"] = functools.partial(saving, share=12)
    tools["next_offer"] = make_counter()
    tools["co2_emission"] = compiled(HERE / "formula.txt")
    tools["heat_pump_demand"] = heat_pump_demand
    return tools
