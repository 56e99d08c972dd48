"""Common random numbers: every stream is a function of (seed, name, step), so all methods of a seed get the same draws.

Two methods with one seed start from the same weights and see the same images, noise and uniforms. A resumed run needs no
stored generator state. Of one global batch per step, each rank takes its part; of noise it draws no more than that.
"""

import hashlib
from functools import lru_cache

import numpy as np

from fidrace.method.base import Floats, Ints

VERSION = 2  # of the numbers that these streams give; part of what all runs of one table share
Bits = np.typing.NDArray[np.int32]
IN_BLOCK = 8  # numbers of 32 bits that one value of Philox's counter gives


class Streams:
    """The streams of one seed. Names in use: init, order, flips, noise, timesteps, dropout, latents, labels, ancestral."""

    def __init__(self, seed: int | str):
        self.seed = seed
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def at(self, name: str, step: int = 0, block: int = 0) -> np.random.Generator:
        """The generator of stream `name` at `step`: Philox, keyed by SHA-256 of seed and name, its counter at step, and from
        there on `block` further."""
        key = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()[:16]
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key), counter=(step << 192) + block))

    def integer(self, name: str, step: int = 0) -> int:
        """A 63-bit seed for generators other than numpy's."""
        return int(self.at(name, step).integers(2**63))

    def bits(self, name: str, step: int, count: int, size: int, first: int = 0) -> Bits:
        """Random bits [count, S] of the examples from `first` on, with S at least `size` and a multiple of IN_BLOCK. Every
        example begins at a counter of its own, so that a part of a batch costs no more than itself."""
        blocks = -(-size // IN_BLOCK)
        words = self.at(name, step, first * blocks).bit_generator.random_raw(count * blocks * IN_BLOCK // 2)
        return words.astype("<u8", copy=False).view("<i4").reshape(count, blocks * IN_BLOCK)

    def uniform(self, name: str, step: int, count: int) -> Floats:
        return self.at(name, step).random(count)

    def order(self, step: int, batch: int, size: int) -> Ints:
        """Indices [batch], below `size`, of the examples in step `step`: shuffled epochs laid end to end, none cut short."""
        positions = np.arange(step * batch, (step + 1) * batch)
        epochs, offsets = np.divmod(positions, size)
        return np.concatenate([self._permutation(int(e), size)[offsets[epochs == e]] for e in np.unique(epochs)])

    def _draw_permutation(self, epoch: int, size: int) -> Ints:
        return self.at("order", epoch).permutation(size)
