"""For how long something has not changed, by a clock of our own."""

from __future__ import annotations

from service.jobs.watch import Watch


def test_what_stands_still_is_counted_from_the_first_look() -> None:
    watch = Watch(longest_gap=2)
    assert [watch.look(now, {"a": 1})["a"] for now in (100, 101, 102.5)] == [0, 1, 2.5]


def test_what_changes_begins_anew_whichever_way_it_changes() -> None:
    watch = Watch(longest_gap=2)
    values = [5, 5, 6, 6, 5]
    seconds = [watch.look(now, {"a": value})["a"] for now, value in enumerate(values)]
    assert seconds == [0, 1, 0, 1, 0]


def test_each_is_counted_for_itself_and_forgotten_when_it_is_gone() -> None:
    watch = Watch(longest_gap=2)
    watch.look(0, {"a": 1})
    assert watch.look(1, {"a": 1, "b": 1}) == {"a": 1, "b": 0}
    assert watch.look(2, {"b": 1}) == {"b": 1}
    assert watch.look(3, {"a": 1, "b": 1}) == {"a": 0, "b": 2}


def test_time_in_which_nobody_looked_hardly_counts() -> None:
    # A frozen process, a suspended machine, a database that was away for an hour.
    watch = Watch(longest_gap=2)
    watch.look(0, {"a": 1})
    assert watch.look(3600, {"a": 1}) == {"a": 2}
