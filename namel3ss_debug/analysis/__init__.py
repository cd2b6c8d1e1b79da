"""The analyses of traces: folds over their spans."""
