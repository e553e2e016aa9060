"""Teach a Semi-MoE segmentation network with the brush, in napari."""

__version__ = "0.1.0"
