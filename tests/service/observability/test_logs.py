"""Logs: one line an event, in UTC, on standard error."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from service.observability.logs import configure_logs
configure_logs(sys.argv[1])
configure_logs(sys.argv[1])
for level in ("debug", "info", "warning", "error"):
    getattr(logging.getLogger("service.somewhere"), level)("a %s line of %d words", level, 6)
logging.getLogger("uvicorn.error").info("what we say already")
logging.getLogger("alembic.runtime").info("what nobody asks")
"""


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["DEBUG", "INFO", "WARNING", "ERROR"]),
        ("info", ["INFO", "WARNING", "ERROR"]),
        ("error", ["ERROR"]),
    ],
)
def test_a_line_tells_time_level_process_and_place(level: str, told: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, level],
        env={**os.environ, "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    shape = re.compile(rf"{time} (\w+) +\d+ service\.somewhere: a \w+ line of 6 words")
    found = [shape.fullmatch(line) for line in lines]
    assert [match and match[1] for match in found] == told


def test_times_are_in_utc() -> None:
    program = """
import logging, time
from service.observability.logs import configure_logs
configure_logs("info")
print(time.strftime("%Y-%m-%dT%H", time.gmtime()))
logging.getLogger("x").info("now")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.startswith(ended.stdout.strip())
