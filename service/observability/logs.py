"""Logs: one line an event, to standard error, as text or as JSON.

Every line of a request tells its id, and its trace where the caller began one. No line holds a
body, a query string, or the password of an address.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any, Literal

from service.observability.trace import CURRENT

LogFormat = Literal["text", "json"]

_PASSWORD = re.compile(r"(\w://[^\s:/@]*):\S+@")
"""Between user and host of an address, to the last `@`: passwords hold all sorts."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; others were given as `extra`."""


def configure_logs(level: str, kind: LogFormat = "text") -> None:
    """Set up logging of this process and of the processes forked from it."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if kind == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Its lines about start and stop repeat ours.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def without_passwords(text: str) -> str:
    """The text, with stars in the place of passwords in addresses."""
    return _PASSWORD.sub(r"\1:***@", text)


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        return without_passwords(super().formatException(ei))


class TextFormatter(_Formatter):
    """For people: time, level, process, place, event, then the fields."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(process)d %(name)s: %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S",
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = without_passwords(record.message)
        fields = [f"{name}={value}" for name, value in _fields(record).items()]
        return " ".join([super().formatMessage(record), *fields])


class JsonFormatter(_Formatter):
    """For programs: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "event": without_passwords(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The request of a record, and what was given as `extra`."""
    fields: dict[str, object] = {}
    request = CURRENT.get()
    if request is not None:
        fields["request_id"] = request.request_id
        if request.trace is not None:
            fields["trace_id"] = request.trace.trace_id
            fields["span_id"] = request.trace.span_id
    for name, value in vars(record).items():
        if name not in _STANDARD:
            fields[name] = without_passwords(value) if isinstance(value, str) else value
    return fields
