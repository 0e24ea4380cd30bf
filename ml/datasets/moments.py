"""Mean and deviation of a column, merged from parts without losing digits."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Moments:
    """Count, extremes, mean and the sum of squared distances from it."""

    count: int = 0
    least: float = math.inf
    most: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, count: int, least: float, most: float, mean: float, std: float) -> None:
        """Take in a part of ``count`` values with the population deviation ``std``.

        Chan, Golub and LeVeque 1979, "Updating formulae", equation 2.1: at 1e9 ± 1 a difference of
        sums of squares would keep no digit.
        """
        if count == 0:
            return
        self.least, self.most = min(self.least, least), max(self.most, most)
        total = self.count + count
        distance = mean - self.mean
        self.squares += count * std * std + distance * distance * (self.count * count / total)
        self.mean += distance * (count / total)
        self.count = total

    def std(self) -> float:
        """The population deviation; exactly 0 where all values are the same."""
        if self.least == self.most:
            return 0.0
        return math.sqrt(self.squares / self.count)

    def exact_mean(self) -> float:
        """The mean; where all values are the same, that value."""
        return self.least if self.least == self.most else self.mean
