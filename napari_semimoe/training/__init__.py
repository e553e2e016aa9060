"""A supervised step, an unsupervised step, a round, prediction and metrics."""
