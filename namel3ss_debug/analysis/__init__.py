"""What a recording says: folds over its spans."""
