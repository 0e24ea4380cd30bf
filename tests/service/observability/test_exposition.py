"""The shared cells as Prometheus reads them, and the names they have."""

from __future__ import annotations

import gc
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from service.observability.exposition import read_shared, render
from service.observability.families import FAMILIES
from service.observability.layout import Shared
from service.observability.metrics import Metrics
from service.observability.usage import read_usage
from tests.waiting import until


@pytest.fixture
def shared() -> Shared:
    made = Shared.make(2)
    for slot in range(2):
        worker = Metrics(made, slot)
        made.note_start(slot, os.getpid(), again=False)
        worker.predictions("a", 1).add(4, [0.003, 0.2])
        worker.route("POST", "/predict").add_one(200, 0.01)
        worker.problem("not_found")
    return made


def samples(shared: Shared) -> dict[str, float]:
    page, _ = render(read_shared(shared), "")
    found = {}
    for family in parse_text(page.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_the_page_tells_sums_over_the_workers(shared: Shared) -> None:
    told = samples(shared)
    assert told["refit_predictions_total{model=a,version=1}"] == 4
    assert told["refit_prediction_rows_total{model=a,version=1}"] == 8
    seconds = "refit_prediction_duration_seconds"
    assert told[f"{seconds}_sum{{model=a,version=1}}"] == pytest.approx(0.406)
    assert told[f"{seconds}_count{{model=a,version=1}}"] == 4
    assert told[f"{seconds}_bucket{{le=0.0025,model=a,version=1}}"] == 0
    assert told[f"{seconds}_bucket{{le=0.005,model=a,version=1}}"] == 2
    assert told[f"{seconds}_bucket{{le=+Inf,model=a,version=1}}"] == 4
    requests = "refit_http_requests_total{method=POST,route=/predict,status=200}"
    assert told[requests] == 2
    assert told["refit_problems_total{code=not_found}"] == 2
    assert not [name for name in told if "other" in name], "what never was is not told"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html, */*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_the_format_is_the_one_asked_for(shared: Shared, accept: str, media_type: str) -> None:
    page, told = render(read_shared(shared), accept)
    assert told == media_type
    openmetrics = "openmetrics" in media_type
    families: list[Metric] = list((parse_openmetrics if openmetrics else parse_text)(page.decode()))
    assert len(families) > 15
    assert page.endswith(b"# EOF\n") == openmetrics


def test_what_is_told_is_what_is_listed(shared: Shared) -> None:
    listed = {family.name.removesuffix("_total"): family for family in FAMILIES}
    assert len(listed) == len(FAMILIES)
    for metric in read_shared(shared):
        family = listed[metric.name]
        assert (metric.type, metric.documentation) == (family.kind, family.meaning)
        own = {"le"} if family.kind == "histogram" else set()
        for sample in metric.samples:
            assert set(sample.labels) - own == set(family.labels), sample


def test_names_are_as_prometheus_wants_them() -> None:
    for family in FAMILIES:
        assert re.fullmatch("refit_[a-z]+(_[a-z]+)*", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert not re.search("milli|micro|_ms|_us|_kb|_mb|minutes", family.name)
        if family.kind == "histogram" or "duration" in family.name:
            assert family.name.endswith("_seconds")
        assert family.meaning.endswith(".")
        assert not {"path", "url", "id", "job", "instance"} & set(family.labels)


def test_how_a_worker_is_goes_with_it(shared: Shared) -> None:
    for slot in range(2):
        worker = Metrics(shared, slot)
        worker.begin()
        worker.serving([("a", 1)], 5)
    told = samples(shared)
    assert told["refit_http_requests_in_flight{}"] == 2
    assert told["refit_version_workers{model=a,version=1}"] == 2
    assert told["refit_workers_live{}"] == told["refit_workers_expected{}"] == 2
    shared.note_end(0)
    told = samples(shared)
    assert told["refit_http_requests_in_flight{}"] == 1
    assert [name for name in told if name.startswith("refit_loaded")] == [
        "refit_loaded_versions{worker=1}"
    ]
    assert (told["refit_workers_live{}"], told["refit_workers_expected{}"]) == (1, 2)
    assert told["refit_predictions_total{model=a,version=1}"] == 4, "what it counted stays"
    shared.note_start(0, os.getpid(), again=True)
    told = samples(shared)
    assert told["refit_restarts_total{process=web}"] == 1
    assert told["refit_restarts_total{process=supervisor}"] == 0


def test_a_version_that_serves_is_told_before_its_first_request() -> None:
    # `rate` would otherwise not see the first.
    shared = Shared.alone(0)
    Metrics(shared, 0).serving([("a", 1)], 1)
    assert samples(shared)["refit_predictions_total{model=a,version=1}"] == 0


# ---- the system's numbers ----

SPIN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"
SUPERVISES = f"""
import subprocess, sys
for line in sys.stdin:
    subprocess.run([sys.executable, "-c", {SPIN!r}], check=True)
    print("done", flush=True)
"""


def test_cpu_of_trainings_that_have_ended_is_not_lost() -> None:
    shared = Shared.alone(0)
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as supervisor:
        assert supervisor.stdin is not None
        assert supervisor.stdout is not None
        shared.note_start(None, supervisor.pid, again=False)
        before = read_usage(shared)
        assert before.training_cpu == 0
        supervisor.stdin.write("\n")
        supervisor.stdin.flush()
        supervisor.stdout.readline()
        after = read_usage(shared)
        assert after.training_cpu >= 0.29
        assert after.cpu >= before.cpu + 0.29
        supervisor.send_signal(signal.SIGSTOP)
        assert read_usage(shared).training_cpu >= after.training_cpu, "a process that hangs counts"
        supervisor.kill()
    # It is gone, and nobody of ours has waited for the time it had.
    gone = read_usage(shared)
    assert list(gone.processes) == ["web-0"]
    assert gone.cpu >= after.cpu, "a counter does not fall"


def test_usage_is_the_systems(shared: Shared) -> None:
    # What other tests left behind is closed now, and not between the two looks.
    gc.collect()
    told = samples(shared)
    process = psutil.Process()
    rss = told["refit_process_resident_memory_bytes{process=web-0}"]
    assert rss == pytest.approx(process.memory_info().rss, rel=0.2)
    started = told["refit_process_start_time_seconds{process=web-0}"]
    assert started == pytest.approx(process.create_time(), abs=1)
    assert started < time.time()
    fds = len(list(Path("/proc/self/fd").iterdir()))
    assert told["refit_process_open_fds{process=web-0}"] == pytest.approx(fds, abs=3)
    before = told["refit_process_cpu_seconds_total{process=web-0}"]

    def grows() -> bool:
        return samples(shared)["refit_process_cpu_seconds_total{process=web-0}"] > before

    until(grows, "the time it takes to look")
