"""Every metric: its name, type, labels and meaning. docs/metrics.md is held to this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)


@dataclass(frozen=True)
class Family:
    """A metric; ``name`` is as in Prometheus' text format, with `_total` for counters."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


HTTP_REQUESTS = Family(
    "refit_http_requests_total",
    "counter",
    ("method", "route", "status"),
    "Requests that were answered; 499 where the client left first.",
)
HTTP_SECONDS = Family(
    "refit_http_request_duration_seconds",
    "histogram",
    ("method", "route"),
    "Time from a request's head to the last byte of its answer.",
)
HTTP_IN_FLIGHT = Family(
    "refit_http_requests_in_flight", "gauge", (), "Requests that are being answered."
)
PROBLEMS = Family(
    "refit_problems_total", "counter", ("code",), "Errors that were answered, by their code."
)
REJECTED = Family(
    "refit_rejected_requests_total",
    "counter",
    ("reason",),
    "Requests that were turned away because there were too many.",
)
PREDICTIONS = Family(
    "refit_predictions_total",
    "counter",
    ("model", "version"),
    "Prediction requests that were answered with predictions.",
)
PREDICTION_ROWS = Family(
    "refit_prediction_rows_total", "counter", ("model", "version"), "Rows that were predicted."
)
PREDICTION_SECONDS = Family(
    "refit_prediction_duration_seconds",
    "histogram",
    ("model", "version"),
    "Time from a prediction request's body, once read, to the body of its answer.",
)
PREDICTION_ERRORS = Family(
    "refit_prediction_errors_total",
    "counter",
    ("model", "version", "code"),
    "Prediction requests that were answered with an error.",
)
VERSION_WORKERS = Family(
    "refit_version_workers",
    "gauge",
    ("model", "version"),
    "Web workers that answer with this version where a request names none.",
)
LOADED_VERSIONS = Family(
    "refit_loaded_versions", "gauge", ("worker",), "Versions in the memory of a web worker."
)
LOOP_LAG = Family(
    "refit_event_loop_lag_seconds",
    "histogram",
    ("worker",),
    "How late a web worker's event loop is, looked at four times a second.",
)
WORKERS_EXPECTED = Family(
    "refit_workers_expected", "gauge", (), "Web workers that the service was told to run."
)
WORKERS_LIVE = Family("refit_workers_live", "gauge", (), "Web workers that run.")
RESTARTS = Family(
    "refit_restarts_total",
    "counter",
    ("process",),
    "Processes, `web` or `supervisor`, that were started again after they died.",
)
PROCESS_CPU = Family(
    "refit_process_cpu_seconds_total",
    "counter",
    ("process",),
    "CPU time of a process; `training`: of all trainings of this supervisor.",
)
PROCESS_MEMORY = Family(
    "refit_process_resident_memory_bytes",
    "gauge",
    ("process",),
    "Memory of a process, with what it shares with others; `training`: of all that run.",
)
PROCESS_FDS = Family(
    "refit_process_open_fds", "gauge", ("process",), "Files and sockets that a process holds open."
)
PROCESS_START = Family(
    "refit_process_start_time_seconds",
    "gauge",
    ("process",),
    "When a process started, in seconds since 1970.",
)
TREE_CPU = Family(
    "refit_tree_cpu_seconds_total",
    "counter",
    (),
    "CPU time of all processes of the service, those that have ended too.",
)
DATABASE_UP = Family("refit_database_up", "gauge", (), "Whether the database answered: 1 or 0.")
JOBS = Family("refit_jobs", "gauge", ("state",), "Training jobs in the database, by state.")
QUEUE_AGE = Family(
    "refit_oldest_queued_job_age_seconds",
    "gauge",
    (),
    "How long the job that waits longest has waited; 0 where none waits.",
)
LAST_JOB_FINISHED = Family(
    "refit_last_job_finished_timestamp_seconds",
    "gauge",
    ("state",),
    "When the newest job of that state ended, in seconds since 1970.",
)
LAST_JOB_SECONDS = Family(
    "refit_last_job_duration_seconds",
    "gauge",
    ("state",),
    "From the last start of the newest job of that state to its end.",
)
LAST_JOB_EPOCHS = Family(
    "refit_last_job_epochs", "gauge", ("state",), "Epochs of the newest job of that state."
)
ACTIVE_VERSION = Family(
    "refit_model_active_version",
    "gauge",
    ("model",),
    "The number of the active version, for the first 200 models by name.",
)
WORKERS_BEHIND = Family(
    "refit_workers_behind",
    "gauge",
    (),
    "Web workers that could not load an active version and serve an older one.",
)
BUILD_INFO = Family(
    "refit_build_info",
    "gauge",
    ("version", "torch", "python", "device"),
    "Always 1; the labels tell what runs.",
)

FAMILIES = (
    *(HTTP_REQUESTS, HTTP_SECONDS, HTTP_IN_FLIGHT, PROBLEMS, REJECTED),
    *(PREDICTIONS, PREDICTION_ROWS, PREDICTION_SECONDS, PREDICTION_ERRORS),
    *(ACTIVE_VERSION, VERSION_WORKERS, LOADED_VERSIONS, WORKERS_BEHIND),
    *(DATABASE_UP, JOBS, QUEUE_AGE, LAST_JOB_FINISHED, LAST_JOB_SECONDS, LAST_JOB_EPOCHS),
    *(WORKERS_EXPECTED, WORKERS_LIVE, RESTARTS, LOOP_LAG),
    *(PROCESS_CPU, PROCESS_MEMORY, PROCESS_FDS, PROCESS_START, TREE_CPU, BUILD_INFO),
)


def counter(family: Family) -> CounterMetricFamily:
    """The family, empty, to add samples to."""
    assert family.kind == "counter"
    return CounterMetricFamily(family.name, family.meaning, labels=family.labels)


def gauge(family: Family) -> GaugeMetricFamily:
    """The family, empty, to add samples to."""
    assert family.kind == "gauge"
    return GaugeMetricFamily(family.name, family.meaning, labels=family.labels)


def histogram(family: Family) -> HistogramMetricFamily:
    """The family, empty, to add samples to."""
    assert family.kind == "histogram"
    return HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
