"""The places where the traced program meets the outside world, one folder for each kind."""
