"""Checkpoints as far as the session reads them."""

from __future__ import annotations

import json
import struct


def write_weights(path, classes=("background", "gland")):
    """Write a checkpoint without tensors: a header is all that the session reads."""
    info = {"model": {"width": 8, "classes": list(classes)}, "package_version": "0"}
    header = json.dumps({"__metadata__": {"semimoe": json.dumps(info)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path
