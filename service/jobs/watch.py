"""For how long something has not changed, by the clock of who looks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass


@dataclass
class _Seen:
    value: Hashable
    seconds: float


class Watch:
    """Counts the seconds in which things stood still.

    No two clocks are compared, so a clock that jumps means nothing. Time in which nobody looked
    counts for ``longest_gap`` at most: after a frozen process, a suspended machine or a lost
    database, whatever is watched gets its time anew to show that it lives.
    """

    def __init__(self, longest_gap: float) -> None:
        self._longest_gap = longest_gap
        self._seen: dict[str, _Seen] = {}
        self._looked_at: float | None = None

    def look(self, now: float, values: Mapping[str, Hashable]) -> dict[str, float]:
        """For how long each of ``values`` has been as it is; what is not among them is forgotten.

        ``now`` is in seconds of a clock that never jumps.
        """
        last = now if self._looked_at is None else self._looked_at
        passed = min(now - last, self._longest_gap)
        self._looked_at = now
        before, self._seen = self._seen, {}
        for key, value in values.items():
            known = before.get(key)
            same = known is not None and known.value == value
            self._seen[key] = _Seen(value, known.seconds + passed if known and same else 0.0)
        return {key: self._seen[key].seconds for key in values}
