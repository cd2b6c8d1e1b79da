"""Replace secrets before anything reaches the disk: by the name of a field and by the form of a text."""
