"""Start a traced program: the parent that launches it, and what runs first in the child."""
