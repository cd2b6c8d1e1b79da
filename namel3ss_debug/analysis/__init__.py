"""The analyses of recordings: folds over their spans."""
