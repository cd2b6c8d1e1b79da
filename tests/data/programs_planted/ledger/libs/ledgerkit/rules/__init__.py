"""The rules, each a class that registers itself."""

from typing import NamedTuple

REGISTRY = {}


class Outcome(NamedTuple):
    """What a rule found."""

    passed: bool
    reason: str
    weight: int = 1


class Rule:
    """A rule for claims."""

    key = ""
    weight = 1

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        REGISTRY[cls.key] = cls

    def check(self, claim):
        passed = self.holds(claim)
        return Outcome(passed, self.reason(claim, passed), self.weight)

    def holds(self, claim):
        raise NotImplementedError

    def reason(self, claim, passed):
        return "fine" if passed else "not fine"


def load_rules():
    from . import limits, receipts  # noqa: F401
