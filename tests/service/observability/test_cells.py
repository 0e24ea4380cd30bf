"""Cells that several processes share: sums, rows by name, and rows that go to another name."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from service.observability import cells
from service.observability.cells import NAME_CELLS, OTHER, Memory, Shape, Table, make_file


def memory(slots: int = 2, rows: int = 4, kept_at: int | None = None) -> Memory:
    return Memory(make_file(), slots, 3, 2, [Shape(2, 1), Shape(rows, 3, kept_at)])


def add(shared: Memory, table: Table, slot: int, name: str, column: int, amount: float) -> None:
    row, _ = table.claim(name)
    shared.cells[shared.slot(slot) + table.cell(row) + column] += amount


def rest(shared: Memory, table: Table, *names: str) -> None:
    """As if nobody had used these rows for long."""
    for name in names:
        row, _ = table.claim(name)
        shared.cells[table.used_at(row)] = time.monotonic() - cells.REST_SECONDS - 1


def test_a_row_is_the_sum_over_all_slots() -> None:
    shared = memory(slots=3)
    table = shared.tables[1]
    for slot, amount in enumerate((1.0, 20.0, 300.0)):
        add(shared, table, slot, "a", 0, amount)
        add(shared, table, slot, "b", 2, amount + 1)
    assert dict(table.read()) == {OTHER: [0, 0, 0], "a": [321, 0, 0], "b": [0, 0, 324]}
    assert table.find("b") == [0, 0, 324]
    assert table.find("c") is None
    assert dict(shared.tables[0].read()) == {OTHER: [0]}, "the other table is left alone"


def test_a_name_keeps_its_row() -> None:
    table = memory().tables[1]
    first = table.claim("a")
    assert table.claim("b") != first == table.claim("a")


@pytest.mark.parametrize("name", [OTHER, "x" * (NAME_CELLS * 8 + 1), "é" * (NAME_CELLS * 4 + 1)])
def test_what_can_have_no_row_of_its_own_is_counted_with_the_others(name: str) -> None:
    table = memory().tables[1]
    assert table.claim(name)[0] == 0


@pytest.mark.parametrize("name", ["x" * NAME_CELLS * 8, "é", "GET /models/{model}"])
def test_any_other_name_comes_back_as_it_was(name: str) -> None:
    table = memory().tables[1]
    assert table.claim(name)[0] > 0
    assert [told for told, _ in table.read()] == [OTHER, name]


def test_a_full_table_counts_further_names_with_the_others() -> None:
    shared = memory(rows=3)
    table = shared.tables[1]
    for name in ("a", "b", "c", "d", "a"):
        add(shared, table, 0, name, 0, 1)
    rest(shared, table, "a", "b")
    add(shared, table, 0, "e", 0, 1)
    assert dict(table.read()) == {OTHER: [3, 0, 0], "a": [2, 0, 0], "b": [1, 0, 0]}


def test_a_row_that_rested_and_that_nobody_keeps_goes_to_another_name() -> None:
    shared = memory(rows=4, kept_at=1)
    table = shared.tables[1]
    for slot, name in ((0, "a"), (1, "b"), (1, "c")):
        add(shared, table, slot, name, 0, 1)
    (row, before) = table.claim("b")
    # Slot 1 keeps "c"; "a" was used a moment ago.
    add(shared, table, 1, "c", 1, 1)
    rest(shared, table, "b", "c")
    assert table.claim("d")[0] == row
    assert dict(table.read()) == {
        OTHER: [0, 0, 0],
        "a": [1, 0, 0],
        "c": [1, 1, 0],
        "d": [0, 0, 0],
    }, "and begins with zeros in every slot"
    assert shared.cells[table.generation_at(row)] != before, "whoever holds the row can tell"
    assert table.claim("b")[0] == 0, "no other is free"


def test_the_row_that_rested_longest_goes_first() -> None:
    shared = memory(rows=4, kept_at=1)
    table = shared.tables[1]
    rows = {name: table.claim(name)[0] for name in ("a", "b", "c")}
    rest(shared, table, *rows)
    shared.cells[table.used_at(rows["b"])] -= 1
    assert table.claim("d")[0] == rows["b"]


def test_a_row_whose_giver_died_over_it_is_not_told_and_is_given_anew() -> None:
    shared = memory(rows=2)
    table = shared.tables[1]
    row, generation = table.claim("a")
    shared.cells[table.generation_at(row)] = generation - 1
    assert dict(table.read()) == {OTHER: [0, 0, 0]}
    assert table.claim("b")[0] == row
    assert dict(table.read()) == {OTHER: [0, 0, 0], "b": [0, 0, 0]}


CLAIMS = """
import sys
from service.observability.cells import Memory, Shape
fd, slot = int(sys.argv[1]), int(sys.argv[2])
shared = Memory(fd, 4, 3, 2, [Shape(2, 1), Shape(200, 3)])
table = shared.tables[1]
print("ready", flush=True)
sys.stdin.readline()
# Each meets the names in an order of its own.
for turn in range(20):
    for i in range(150):
        name = f"name {(i * 7**slot) % 150}"
        row, _ = table.claim(name)
        shared.cells[shared.slot(slot) + table.cell(row)] += 1.0
"""


def start(shared: Memory, program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(shared.fd), *map(str, arguments)],
        pass_fds=[shared.fd],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_that_claim_at_once_agree_and_lose_nothing() -> None:
    shared = Memory(make_file(), 4, 3, 2, [Shape(2, 1), Shape(200, 3)])
    processes = [start(shared, CLAIMS, slot) for slot in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        with process:
            assert process.wait(120) == 0
    told = dict(shared.tables[1].read())
    assert told.pop(OTHER) == [0, 0, 0]
    assert told == {f"name {i}": [4 * 20, 0, 0] for i in range(150)}


HOLDS = """
import fcntl, sys
fcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_process_that_hangs_over_a_claim_holds_up_nobody_for_long() -> None:
    shared = memory()
    table = shared.tables[1]
    with start(shared, HOLDS) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        began = time.monotonic()
        assert table.claim("a")[0] == 0
        assert time.monotonic() - began < 10
        holder.kill()
    assert table.claim("a")[0] > 0, "its end gives the lock back"


def test_the_numbers_outlive_who_wrote_them() -> None:
    shared = memory()
    program = CLAIMS.replace("4, 3, 2", "2, 3, 2").replace("Shape(200, 3)", "Shape(4, 3)")
    with start(shared, program, 1) as process:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.wait(60) == 0
    assert sum(cells[0] for _, cells in shared.tables[1].read()) == 20 * 150


def test_the_file_has_no_name_and_is_not_inherited_unasked() -> None:
    fd = make_file()
    assert not os.get_inheritable(fd)
    assert os.fstat(fd).st_nlink == 0
