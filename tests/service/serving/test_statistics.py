"""What each version has done."""

from __future__ import annotations

from service.serving.statistics import ProcessStatistics, Totals
from tests.service.making import at_once


def test_nothing_is_counted_twice_or_lost_among_threads() -> None:
    statistics = ProcessStatistics()

    def work(index: int) -> None:
        for turn in range(500):
            statistics.count("default", 1 + turn % 2, 3 if index else None, 10)

    at_once(8, work)
    for version in (1, 2):
        totals = statistics.totals("default", version)
        assert (totals.successes, totals.failures) == (7 * 250, 250)
        assert totals.rows == 3 * totals.successes
        assert totals.executions == totals.successes
        assert (totals.success_ns, totals.failure_ns) == (7 * 2500, 2500)
        assert totals.last_ms > 0
    assert statistics.totals("default", 3) == statistics.totals("other", 1) == Totals()


def test_a_failure_is_no_inference() -> None:
    statistics = ProcessStatistics()
    statistics.count("default", 1, None, 5)
    assert statistics.totals("default", 1) == Totals(failures=1, failure_ns=5)
