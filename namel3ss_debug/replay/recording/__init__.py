"""A recording as it is walked through: its shape, its sums, and the places in it where a walk may stop."""
