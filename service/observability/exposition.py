"""The shared cells as metric families of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from service.observability import families, layout
from service.observability.cells import OTHER
from service.observability.families import Family, counter, gauge, histogram
from service.observability.layout import BOUNDS, LAG_BOUNDS, Shared
from service.observability.usage import read_usage


class _Once(Collector):
    """Families that were read already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def render(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """The page and its media type: OpenMetrics where ``accept`` asks for it, else text 0.0.4."""
    encode, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(metrics))
    return encode(registry), media_type


def read_shared(shared: Shared) -> Iterator[Metric]:
    """What all web workers of the tree have counted, and the tree itself."""
    yield from _http(shared)
    yield from _predictions(shared)
    yield from _counters(shared)
    yield from _workers(shared)
    yield from _usage(shared)


def single(family: Family, value: float) -> Metric:
    """A family without labels."""
    made = gauge(family) if family.kind == "gauge" else counter(family)
    made.add_metric([], value)
    return made


def _http(shared: Shared) -> Iterator[Metric]:
    requests, seconds = counter(families.HTTP_REQUESTS), histogram(families.HTTP_SECONDS)
    for name, cells in shared.http.read():
        statuses = cells[layout.HTTP_STATUSES :]
        if not any(statuses):
            continue
        method, route = (OTHER, OTHER) if name == OTHER else name.split(" ", 1)
        labels = (*map(str, layout.STATUSES), OTHER)
        for status, count in zip(labels, statuses, strict=True):
            if count:
                requests.add_metric([method, route, status], count)
        seconds.add_metric([method, route], *_buckets(cells[: layout.HISTOGRAM], BOUNDS))
    yield requests
    yield seconds


def _predictions(shared: Shared) -> Iterator[Metric]:
    requests, rows = counter(families.PREDICTIONS), counter(families.PREDICTION_ROWS)
    seconds, errors = (
        histogram(families.PREDICTION_SECONDS),
        counter(families.PREDICTION_ERRORS),
    )
    workers = gauge(families.VERSION_WORKERS)
    for name, cells in shared.predictions.read():
        kept, failed = cells[layout.PREDICTION_KEPT], cells[layout.PREDICTION_ERRORS :]
        version = [OTHER, OTHER] if name == OTHER else name.rsplit(" ", 1)
        count = sum(cells[1 : layout.HISTOGRAM])
        # A version that serves is told with zeros: a counter that appears with its first request
        # would hide that one from `rate`.
        if count or kept:
            requests.add_metric(version, count)
            rows.add_metric(version, cells[layout.PREDICTION_ROWS])
            seconds.add_metric(version, *_buckets(cells[: layout.HISTOGRAM], BOUNDS))
        if kept:
            workers.add_metric(version, kept)
        for code, number in zip((*layout.PREDICTION_CODES, OTHER), failed, strict=True):
            if number:
                errors.add_metric([*version, code], number)
    yield from (requests, rows, seconds, errors, workers)


def _counters(shared: Shared) -> Iterator[Metric]:
    made = {"problems": counter(families.PROBLEMS), "rejected": counter(families.REJECTED)}
    for name, cells in shared.counters.read():
        if name != OTHER:
            what, label = name.split(" ", 1)
            made[what].add_metric([label], cells[0])
    yield from made.values()


def _workers(shared: Shared) -> Iterator[Metric]:
    live = shared.worker_pids()
    loaded, lag = gauge(families.LOADED_VERSIONS), histogram(families.LOOP_LAG)
    in_flight = 0.0
    for slot in range(shared.slots):
        first = shared.slot(slot)
        cells = shared.cells[first : first + layout.SLOT].tolist()
        lag.add_metric([str(slot)], *_buckets(cells[layout.LAG :], LAG_BOUNDS))
        if slot in live:
            loaded.add_metric([str(slot)], cells[layout.LOADED])
            in_flight += cells[layout.IN_FLIGHT]
    yield single(families.HTTP_IN_FLIGHT, in_flight)
    yield single(families.WORKERS_EXPECTED, shared.slots)
    yield single(families.WORKERS_LIVE, len(live))
    restarts = counter(families.RESTARTS)
    restarts.add_metric(["web"], shared.cells[layout.WEB_RESTARTS])
    restarts.add_metric(["supervisor"], shared.cells[layout.SUPERVISOR_RESTARTS])
    yield from (restarts, loaded, lag)


def _usage(shared: Shared) -> Iterator[Metric]:
    tree = read_usage(shared)
    cpu, memory = counter(families.PROCESS_CPU), gauge(families.PROCESS_MEMORY)
    fds, start = gauge(families.PROCESS_FDS), gauge(families.PROCESS_START)
    for name, usage in tree.processes.items():
        cpu.add_metric([name], usage.cpu)
        memory.add_metric([name], usage.memory_bytes)
        start.add_metric([name], usage.started_at)
        if usage.open_fds is not None:
            fds.add_metric([name], usage.open_fds)
    cpu.add_metric(["training"], tree.training_cpu)
    memory.add_metric(["training"], tree.training_memory_bytes)
    yield from (cpu, memory, fds, start, single(families.TREE_CPU, tree.cpu))


def _buckets(
    cells: Sequence[float], bounds: Sequence[float]
) -> tuple[list[tuple[str, float]], float]:
    """Accumulated buckets and the sum, of the cells of a duration."""
    total, *counts = cells
    les = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(les, accumulate(counts), strict=True)), total
