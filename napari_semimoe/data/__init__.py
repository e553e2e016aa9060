"""Tiles to tensors: resampling, targets, augmentation and sampling."""
