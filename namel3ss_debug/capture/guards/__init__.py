"""Stop calls before they are made: limits, circuit breakers and retries. Without settings for them, nothing of it is loaded."""
