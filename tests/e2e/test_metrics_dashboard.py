"""The dashboard and the alerts under `deploy/`, held to a real Prometheus on a real run."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.observability.families import FAMILIES
from tests.e2e.running import RunningService, running
from tests.prometheus import CONFIG, ROOT, Prometheus, require_binary
from tests.waiting import until

DASHBOARD = ROOT / "deploy" / "grafana" / "refit.json"
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*", "$model": "default|none"}


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Each query of each panel, with the panel's title."""
    return [(panel["title"], t["expr"]) for panel in panels() for t in panel["targets"]]


def metrics_of(text: str) -> set[str]:
    return set(re.findall(r"\brefit_\w+", text))


class Load:
    """Clients of a service that predict, fail, wait and train without a pause."""

    def __init__(self, service: RunningService) -> None:
        self._url = service.url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with httpx.Client(base_url=self._url, timeout=30) as client:
                    self._speak(client)
            except httpx.TransportError:
                # Of the worker that was killed.
                time.sleep(0.05)

    def _speak(self, client: httpx.Client) -> None:
        for _ in range(20):
            client.post("/predict", json={"x": [0.1, 0.2]})
        client.post("/predict", json={"x": "one"})
        client.get("/models/default/versions/1")
        client.get("/nowhere")
        # More than may wait: some are turned away.
        for _ in range(4):
            client.post("/train", json={"epochs": 200, "promote": "always"})
        job = client.post("/train", json={"epochs": 0, "optimizer": {"kind": "no"}})
        assert job.status_code in (422, 429)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has scraped a service with two workers under load, one of which was killed."""
    require_binary("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    with running(folder / "data", max_queued_jobs=2) as service:
        server = Prometheus(folder, service.url.removeprefix("http://"))
        load = Load(service)
        try:
            until(lambda: server.query("refit_workers_live"), "the first scrape")
            os.kill(service.logged_pid(r"web worker 0 runs as process (\d+)"), signal.SIGKILL)
            yield server
        finally:
            load.close()
            server.close()


def with_variables(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.mark.e2e
@pytest.mark.parametrize(("title", "expression"), expressions())
def test_every_query_of_the_dashboard_has_data(
    prometheus: Prometheus, title: str, expression: str
) -> None:
    def numbers() -> list[float]:
        """Those that are numbers: 0 / 0 and a quantile of nothing are not."""
        series = prometheus.query(with_variables(expression))
        found = [float(one["value"][1]) for one in series]
        return [number for number in found if math.isfinite(number)]

    until(numbers, f"data for {title}: {expression}", 60)


@pytest.mark.e2e
def test_what_prometheus_scraped_is_what_it_was_told(prometheus: Prometheus) -> None:
    targets = prometheus.get("targets")["activeTargets"]
    assert [target["lastError"] for target in targets] == [""]
    # It asks for OpenMetrics, and reads types and meanings from that.
    told = prometheus.get("metadata")
    for family in FAMILIES:
        name = family.name.removesuffix("_total")
        (metadata,) = told.get(family.name) or told[name]
        assert (metadata["type"], metadata["help"]) == (family.kind, family.meaning)


@pytest.mark.e2e
def test_no_rate_saw_a_counter_begin_anew(prometheus: Prometheus) -> None:
    """A worker was killed, and the sums of the tree went on."""
    until(lambda: prometheus.query("refit_restarts_total{process='web'} == 1"), "the restart")
    for name in (
        *("refit_http_requests_total", "refit_predictions_total"),
        *("refit_problems_total", "refit_tree_cpu_seconds_total"),
    ):
        series = prometheus.query(f"resets({name}[5m])")
        assert series
        assert {one["value"][1] for one in series} == {"0"}, name


@pytest.mark.e2e
def test_the_variables_of_the_dashboard_find_something(prometheus: Prometheus) -> None:
    queries = [
        variable["query"]["query"]
        for variable in dashboard()["templating"]["list"]
        if variable["type"] == "query"
    ]
    assert len(queries) == 2
    for query in queries:
        found = re.fullmatch(r"label_values\((\w+), (\w+)\)", query)
        assert found
        values = prometheus.get(f"label/{found[2]}/values", **{"match[]": found[1]})
        assert values, query


def test_the_dashboard_is_whole() -> None:
    document = dashboard()
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    assert document["uid"] == "refit"
    names = {variable["name"] for variable in document["templating"]["list"]}
    assert names == {"datasource", "instance", "model"}
    for panel in panels():
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert 'instance=~"$instance"' in target["expr"], "each service can be looked at alone"
    places = [
        (x, y)
        for panel in document["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places)), "no panel covers another"
    assert max(x for x, _ in places) < 24


def test_every_metric_is_drawn_and_each_drawn_is_one() -> None:
    known = {family.name for family in FAMILIES}
    drawn = {
        re.sub("_(bucket|sum|count)$", "", name)
        for _, expression in expressions()
        for name in metrics_of(expression)
    }
    assert drawn == known


def test_the_alerts_speak_of_metrics_that_are() -> None:
    known = {family.name for family in FAMILIES}
    text = (CONFIG / "alerts.yml").read_text()
    asked = {re.sub("_bucket$", "", name) for name in metrics_of(text)}
    assert asked <= known
    assert len(asked) >= 8


@pytest.mark.e2e
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [require_binary("promtool"), *command],
        cwd=CONFIG,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "SUCCESS" in ended.stdout


def test_every_alert_is_tested() -> None:
    alerts = re.findall(r"- alert: (\w+)", (CONFIG / "alerts.yml").read_text())
    tested = re.findall(r"alertname: (\w+)", Path(CONFIG / "alerts_test.yml").read_text())
    assert set(tested) == set(alerts)


def test_the_compose_file_mounts_what_is_there() -> None:
    compose = (ROOT / "docker-compose.yml").read_text()
    mounted = re.findall(r"- \./(deploy/[^:]+):(\S+):ro", compose)
    assert len(mounted) == 3
    for path, _ in mounted:
        assert (ROOT / path).exists(), path
    provider = ROOT / "deploy" / "grafana" / "provisioning" / "dashboards" / "refit.yml"
    (folder,) = re.findall(r"path: (\S+)", provider.read_text())
    assert f"{folder}/refit.json" in dict(mounted).values()
