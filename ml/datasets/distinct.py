"""How many distinct values a column has, from one pass in a few kilobytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_KEPT = 2048
"""Hashes kept: the estimate's relative standard error is 1 / sqrt(2048), 2.2 percent."""

_HASHES = 2**64

_PIECE = 8192

_LOOK = 16_384
"""Values hashed at once: a bound for what is held beside them."""

_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)
_ODD = np.uint32(0x9E3779B1)
"""2**32 over the golden ratio, made odd (Knuth, The Art of Computer Programming 3, 6.4)."""

_NONE = np.empty(0, np.uint64)


class DistinctCounter:
    """The k least hashes of the values seen (Bar-Yossef et al. 2002, "Counting distinct elements
    in a data stream", algorithm 2): below k they are a count, then an estimate."""

    def __init__(self) -> None:
        self._least = np.empty(0, np.uint64)
        self.threshold = np.uint64(_HASHES - 1)
        """Hashes above this cannot change the outcome; callers may leave them out."""

    def add(self, hashes: np.ndarray) -> None:
        """Take in 64-bit hashes (uint64) of values, in any order and number."""
        # In pieces: each lowers the threshold, and the next is mostly left out.
        for start in range(0, len(hashes), _PIECE):
            piece = hashes[start : start + _PIECE]
            new = np.sort(piece[piece <= self.threshold])
            if len(new):
                self._merge(new[np.append(True, new[1:] != new[:-1])])

    def _merge(self, new: np.ndarray) -> None:
        """Take in distinct hashes in ascending order."""
        places = np.searchsorted(self._least, new)
        # One more at the end, for what is greater than all; hash 0 is never greater than any.
        is_known = np.append(self._least, np.uint64(0))[places] == new
        is_known[places == len(self._least)] = False
        # numpy's union of both would sort the kept ones anew: ten times the time.
        self._least = np.insert(self._least, places[~is_known], new[~is_known])[:_KEPT]
        if len(self._least) == _KEPT:
            self.threshold = self._least[-1]

    def count(self) -> int:
        """Distinct values; exact below 2,048 (of text, but for a collision in 2**64)."""
        if len(self._least) < _KEPT:
            return len(self._least)
        return round((_KEPT - 1) * _HASHES / (int(self.threshold) + 1))


def hash_numbers(values_N: np.ndarray) -> np.ndarray:
    """64-bit hashes (uint64) of float64 numbers, different for different numbers; -0 is 0.

    The upper half is what `few_hashes` looks at, the lower one of the number: together they can be
    undone, so that no two numbers share a hash.
    """
    bits_N = (values_N + 0.0).view(np.uint64)
    upper_N = (bits_N ^ (bits_N >> _HALF)).astype(np.uint32) * _ODD
    hashes_N: np.ndarray = (upper_N.astype(np.uint64) << _HALF) | (bits_N & _LOW)
    return hashes_N


def few_hashes(chunks: Sequence[np.ndarray], threshold: np.uint64) -> np.ndarray:
    """Those `hash_numbers` of contiguous arrays of float64 that are at most ``threshold``.

    Of most values only half a hash is made, of 32 bits, which a core makes several of at
    once: 0.9 ns for a value instead of 8 (arrays of 131,072, by
    themselves). Of a -0 it may say nothing where there are thousands of other values.
    """
    most = np.uint32(threshold >> _HALF)
    if most == np.iinfo(np.uint32).max:
        return np.concatenate([_NONE, *map(hash_numbers, chunks)])
    room_P = np.empty(_LOOK, np.uint32)
    few = []
    for values_N in chunks:
        halves_H = values_N.view(np.uint32)
        for start in range(0, len(values_N), _LOOK):
            piece_H = halves_H[2 * start : 2 * (start + _LOOK)]
            upper_P = room_P[: len(piece_H) // 2]
            np.bitwise_xor(piece_H[0::2], piece_H[1::2], out=upper_P)
            upper_P *= _ODD
            if len(places := np.flatnonzero(upper_P <= most)):
                few.append(values_N[start + places])
    if not few:
        return _NONE
    hashes_N = hash_numbers(np.concatenate(few))
    return hashes_N[hashes_N <= threshold]
