"""How the names that the model uses lead to code."""

import importlib
import json

from ledgerkit.rules import REGISTRY

PLUGINS = ["plugins.currency", "plugins.calendar_days"]


class Checker:
    """The tools for one claim."""

    def __init__(self, claim, today):
        self.claim = claim
        self.today = today
        self.plugins = {}
        for name in PLUGINS:
            module = importlib.import_module(name)
            self.plugins[module.NAME] = module.run

    def offered(self):
        names = ["apply_rule", "claim_age", *self.plugins]
        return [{"type": "function", "function": {"name": name, "parameters": self.parameters(name)}} for name in names]

    def parameters(self, name):
        wanted = {"apply_rule": {"rule": {"type": "string"}}}.get(name, {})
        return {"type": "object", "properties": wanted}

    def call(self, name, arguments):
        if name in self.plugins:
            result = self.plugins[name](self.claim, **arguments)
        else:
            result = getattr(self, name)(**arguments)
        return json.dumps(result, default=str)

    def apply_rule(self, rule):
        outcome = REGISTRY[rule]().check(self.claim)
        return {"rule": rule, **outcome._asdict()}

    def claim_age(self):
        days = (self.today - self.claim.day).days
        return {"days": days, "late": days > 30}
