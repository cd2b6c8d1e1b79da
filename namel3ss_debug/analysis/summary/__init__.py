"""How a run went, by component and event type."""
