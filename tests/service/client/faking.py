"""Time and a service that do as a test says: for faults that a real one does not have on demand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.client import Client, Retries

Reply = httpx.Response | Exception


@dataclass
class Time:
    """A clock that moves when somebody sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class Script:
    """Replies in turn, the last one again and again; keeps what was asked."""

    def __init__(self, *replies: Reply | Callable[[], Reply]) -> None:
        self._replies = list(replies)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        next_one = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        reply = next_one if isinstance(next_one, httpx.Response | Exception) else next_one()
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.asked]


def scripted(script: Script, time: Time, **retries: float) -> Client:
    """A client that speaks to a script, in a time of its own."""
    return Client(
        "http://refit.test",
        transport=httpx.MockTransport(script),
        sleep=time.sleep,
        retries=Retries(clock=time.clock, **retries),
    )


def problem(status: int, code: str, **headers: str) -> Callable[[], httpx.Response]:
    body = {
        "type": f"/docs/errors#{code}",
        "title": "-",
        "status": status,
        "code": code,
        "detail": f"the words of {code}",
        "errors": [{"pointer": "/x/3", "detail": "expected a number"}],
        "request_id": "f00d",
    }
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    told["Content-Type"] = "application/problem+json"
    return lambda: httpx.Response(status, headers=told, content=json.dumps(body))


def predicted(y: float = 0.5) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(200, json={"y": [y], "model": "default", "version": 1})


def job_json(state: str = "running", **fields: Any) -> dict[str, Any]:
    return {
        "id": "0" * 32,
        "model": "default",
        "origin": "api",
        "state": state,
        "attempt": 1,
        "progress": {"epoch": 0, "epochs": 1000, "fraction": 0.0, "eta_seconds": None},
        "metrics": None,
        "warnings": [],
        "version": None,
        "promotion": None,
        "error": None,
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "finished_at": None,
        "links": {},
        "spec": {},
        **fields,
    }


def job(state: str = "running", **fields: Any) -> Callable[[], httpx.Response]:
    return lambda: httpx.Response(200, json=job_json(state, **fields))


def event(number: int, kind: str, **data: Any) -> bytes:
    told = json.dumps({**data, "at": "2026-01-01T00:00:00Z"})
    return f"id: {number}\nevent: {kind}\ndata: {told}\n\n".encode()


def stream(*chunks: bytes | Exception) -> Callable[[], httpx.Response]:
    """An event stream that ends, or breaks where an exception stands."""

    def make() -> httpx.Response:
        def pieces() -> Iterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk

        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=pieces())

    return make
