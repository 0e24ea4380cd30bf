"""Logs: one line an event, in UTC, on standard error."""

from __future__ import annotations

import json
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


# ---- as JSON ----

TALKS = """
import logging
from service.observability.logs import configure_logs
from service.observability.trace import CURRENT, RequestContext, continue_trace
configure_logs("debug", "json")
logger = logging.getLogger("service.somewhere")
logger.info("two\\nlines and %s", "é\\u2028")
logger.warning("fields", extra={"status": 200, "seconds": 0.5, "path": {1, 2}.__class__})
trace = continue_trace(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
CURRENT.set(RequestContext("an-id", trace))
logger.debug("of a request")
CURRENT.set(RequestContext("other-id", None))
logging.getLogger("uvicorn.error").warning("theirs")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("a bug")
"""


def talk(program: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == ""
    return ended.stderr


def test_as_json_a_line_is_one_object() -> None:
    lines = [json.loads(line) for line in talk(TALKS).split("\n") if line]
    plain, fields, traced, theirs, bug = lines
    assert list(plain) == ["time", "level", "logger", "process", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", plain["time"])
    assert plain["event"] == "two\nlines and é\u2028"
    assert (plain["level"], plain["logger"]) == ("info", "service.somewhere")
    assert (fields["status"], fields["seconds"]) == (200, 0.5)
    assert fields["path"] == "<class 'set'>", "what JSON cannot say is said in words"
    assert traced["request_id"] == "an-id"
    assert traced["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert re.fullmatch("[0-9a-f]{16}", traced["span_id"])
    assert theirs["logger"] == "uvicorn.error"
    assert theirs["request_id"] == "other-id"
    assert "trace_id" not in theirs
    assert bug["event"] == "a bug"
    assert bug["exception"].startswith("Traceback")
    assert bug["exception"].endswith("ZeroDivisionError: division by zero")


def test_as_text_the_fields_follow_the_event() -> None:
    text = talk(TALKS.replace('"json"', '"text"'))
    assert "service.somewhere: fields status=200 seconds=0.5" in text
    assert (
        "of a request request_id=an-id trace_id=0af7651916cd43dd8448eb211c80319c span_id=" in text
    )
    assert "theirs request_id=other-id\n" in text


LEAKS = """
import logging
from sqlalchemy import create_engine
from service.observability.logs import configure_logs
configure_logs("info", "KIND")
url = "postgresql+psycopg://refit:s3cr:t@/@127.0.0.1:1/refit"
logger = logging.getLogger("x")
logger.info("going to %s now", url)
logger.info("fields", extra={"url": url})
try:
    raise ValueError(f"cannot reach {url}")
except ValueError as error:
    logger.exception("no: %s", error)
logger.info("http://127.0.0.1:8000/docs is no secret")
"""


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_line_tells_a_password(kind: str) -> None:
    text = talk(LEAKS.replace("KIND", kind))
    assert "s3cr" not in text
    assert text.count("postgresql+psycopg://refit:***@127.0.0.1:1/refit") == 4
    assert "http://127.0.0.1:8000/docs is no secret" in text
