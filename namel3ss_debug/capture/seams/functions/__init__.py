"""The user's own functions: decorated by hooks, or edited while their modules are compiled."""
