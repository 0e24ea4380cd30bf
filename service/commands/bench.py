"""bench"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from service.commands.options import DEFAULT_URL, AsJson, Model, Url
from service.commands.output import say, show_json, show_table
from service.commands.reach import Code, fail, reach

BUSY = 0.9
"""Of one processor: from there on, this command may be what is measured."""


def bench(
    model: Model = "default",
    connections: Annotated[
        int, typer.Option("--connections", "-c", min=1, max=1000, help="Connections at once.")
    ] = 8,
    seconds: Annotated[
        float, typer.Option("--seconds", "-s", min=0.1, max=600, help="How long.")
    ] = 5.0,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows of each prediction.")] = 1,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Time predictions of a running service, for a first impression.

    It takes the same processors as a service on the same machine, and speaks HTTP/1.1 without TLS.
    """
    import asyncio
    import json

    from service.commands.load import Measured, measure, request_bytes

    with reach(url, None) as client:
        told = client.params(model)
        if told.categories:
            raise fail(f"model {model} has features of text, which bench cannot make up")
        if url.startswith("https:"):
            raise fail("bench speaks plain http only", Code.USAGE)
        row = [0.5] * len(told.feature_names)
        body = json.dumps({"x": [row] * rows}).encode()
        # Once by the client: what is refused is refused here, in words.
        client.predict([row] * rows, model=model)
        say(f"{connections} connections for {seconds:g} s at {url}, model {model}")
        say("the load comes from this machine: on one with the service, they share its processors")
        request = request_bytes(url, f"/models/{model}/predict", body)

        def run(duration: float) -> Measured:
            return asyncio.run(measure(url.rstrip("/"), request, connections, duration))

        run(min(0.5, seconds))
        made = run(seconds)
    if not made.latencies:
        raise fail(f"no prediction was answered: {made.refused} refused, {made.broken} broken off")
    figures = _figures(made, connections, rows)
    if as_json:
        show_json(figures)
    else:
        _show(figures)
    if figures["client_cpu"] > BUSY:
        say(
            f"this command used {figures['client_cpu']:.0%} of a processor: the service may be "
            "faster than it can tell; see benchmarks/ for wrk"
        )


def _figures(made: Any, connections: int, rows: int) -> dict[str, Any]:
    answered = len(made.latencies)
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    times = {f"{name}_ms": 1000 * made.percentile(part) for name, part in shares.items()}
    return {
        "connections": connections,
        "rows": rows,
        "seconds": made.seconds,
        "requests": answered,
        "requests_per_second": answered / made.seconds,
        "rows_per_second": rows * answered / made.seconds,
        **times,
        "max_ms": 1000 * max(made.latencies),
        "refused": made.refused,
        "broken": made.broken,
        "client_cpu": made.cpu_seconds / made.seconds,
    }


def _show(figures: dict[str, Any]) -> None:
    shown = {
        "requests": f"{figures['requests']}",
        "requests per second": f"{figures['requests_per_second']:.0f}",
        "rows per second": f"{figures['rows_per_second']:.0f}",
        "half within": f"{figures['p50_ms']:.2f} ms",
        "90 % within": f"{figures['p90_ms']:.2f} ms",
        "99 % within": f"{figures['p99_ms']:.2f} ms",
        "slowest": f"{figures['max_ms']:.2f} ms",
        "refused": f"{figures['refused']}",
        "broken off": f"{figures['broken']}",
    }
    show_table(("predictions", ""), [[name, value] for name, value in shown.items()])
