"""Which tiles a step sees, and its random numbers: functions of seed and step alone.

Because nothing is remembered between steps, a resumed round draws the same batches as an
uninterrupted one, and every tile of a pool is drawn equally often, whatever the other pool's size.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Generator


def generator_for(seed: int, *names: object) -> Generator:
    """Return a generator that depends on the seed and on what it is for."""
    return Generator().manual_seed(stable_seed(seed, *names))


def stable_seed(seed: int, *names: object) -> int:
    """Hash a seed and names to 63 bits, the same on every machine."""
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def draw(count: int, batch: int, step: int, seed: int, pool: str) -> list[int]:
    """Return the indices of the tiles that ``step`` sees from a pool of ``count`` tiles.

    The pool is shuffled anew each time it has been seen through.
    """
    if count == 0:
        return []
    positions = range(step * batch, (step + 1) * batch)
    return [
        _shuffled(count, position // count, seed, pool)[position % count] for position in positions
    ]


def _shuffled(count: int, epoch: int, seed: int, pool: str) -> list[int]:
    return torch.randperm(count, generator=generator_for(seed, pool, epoch)).tolist()
