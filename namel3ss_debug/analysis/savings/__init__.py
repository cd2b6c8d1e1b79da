"""What a run could have saved."""
