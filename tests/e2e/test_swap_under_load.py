"""Versions alternate while clients predict: no answer is wrong, none fails, none is mixed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import pytest

from tests.e2e.running import RunningService

pytestmark = pytest.mark.e2e

CONNECTIONS = 16
SECONDS = 6.0


@dataclass
class Tally:
    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[object] = field(default_factory=list)
    failed: list[object] = field(default_factory=list)


def test_versions_alternate_under_load(service: RunningService) -> None:
    lines = {}
    for weight, bias in ((0.7, 0.3), (-2.0, 5.0), (10.0, -1.0)):
        data = {"source": "line", "weight": weight, "bias": bias}
        job = service.train("load", data=data, promote="always")
        params = service.client.get(f"{job['links']['version']}/params").json()
        lines[job["version"]] = (params["weight"], params["bias"])
    tally = asyncio.run(_load(service.url, lines))
    assert tally.failed == []
    assert tally.wrong == []
    # It would prove nothing if one version had answered everything.
    assert all(tally.answers[version] > 50 for version in lines), tally.answers


async def _load(url: str, lines: dict[int, tuple[float, float]]) -> Tally:
    tally = Tally()
    deadline = time.monotonic() + SECONDS
    clients = [_predict(url, lines, tally, deadline, seed) for seed in range(CONNECTIONS)]
    await asyncio.gather(_alternate(url, sorted(lines), deadline, tally), *clients)
    return tally


async def _alternate(url: str, versions: list[int], deadline: float, tally: Tally) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        turn = 0
        while time.monotonic() < deadline:
            turn += 1
            version = versions[turn % len(versions)]
            # Every third time it waits until all workers have switched, else it goes on at once.
            headers = {"Prefer": "wait=10"} if turn % 3 == 0 else {}
            answer = await client.post(f"/models/load/versions/{version}/activate", headers=headers)
            seen = answer.json()
            if answer.status_code != 200 or seen["version"] != version:
                tally.failed.append(answer.text)
            if headers and seen["acknowledged"] != seen["workers"]:
                tally.failed.append(seen)
            await asyncio.sleep(0.05)


async def _predict(
    url: str, lines: dict[int, tuple[float, float]], tally: Tally, deadline: float, seed: int
) -> None:
    dice = random.Random(seed)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        while time.monotonic() < deadline:
            x = [dice.uniform(-100, 100) for _ in range(dice.randint(1, 20))]
            try:
                answer = await client.post("/models/load/predict", json={"x": x})
            except httpx.HTTPError as error:
                tally.failed.append(repr(error))
                continue
            if answer.status_code != 200:
                tally.failed.append(answer.text)
                continue
            body = answer.json()
            weight, bias = lines[body["version"]]
            tally.answers[body["version"]] += 1
            if body["y"] != pytest.approx([weight * v + bias for v in x], rel=1e-5, abs=1e-4):
                tally.wrong.append((x, body))
