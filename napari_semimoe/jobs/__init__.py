"""Background work in processes of its own: predict, train, progress, cancel, crash."""
