"""The tracer itself: events, spans, the context that follows the work, and how other code is patched."""
