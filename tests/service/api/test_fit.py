"""GET /jobs/{id}/fit: actual and predicted values of the rows that a version was made from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

import service.fits
from ml.predictor import Predictor
from service.entities import Job, Promotion
from tests.service.api.driving import Client, check_problem
from tests.service.making import Place, line


def trained(place: Place, number: int, model: str = "default", **spec: Any) -> Job:
    """A job that has made that version."""
    place.queue(model, **spec)
    job = place.claim()
    with place.database.write() as stores:
        stores.jobs.succeed(job.id, job.fence, number, {}, Promotion(False, "…"), datetime.now(UTC))
    return job


def fit_of(client: Client, job: Job) -> dict[str, Any]:
    answer = client.get(f"/jobs/{job.id}/fit")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_the_line_is_told_with_its_rows_and_what_lies_between(client: Client, place: Place) -> None:
    job = trained(place, 1)
    told = fit_of(client, job)
    assert (told["job"], told["model"], told["version"]) == (job.id, "default", 1)
    assert (told["feature_names"], told["target_names"]) == (["x"], ["y"])
    assert [(split["split"], split["rows"]) for split in told["splits"]] == [
        ("train", 40),
        ("test", 10),
    ]
    for split in told["splits"]:
        assert len(split["x"]) == split["rows"]
        # The rows are the tutorial's, the version is y = 2x + 1.
        assert split["actual"] == pytest.approx([0.7 * x + 0.3 for x in split["x"]], abs=1e-6)
        assert split["predicted"] == pytest.approx([2 * x + 1 for x in split["x"]], abs=1e-6)
    assert (told["line"]["x"][0], told["line"]["x"][-1]) == pytest.approx((0, 0.98))
    assert told["line"]["predicted"] == pytest.approx([2 * x + 1 for x in told["line"]["x"]])
    assert len(told["line"]["x"]) == 201
    assert client.get(f"/jobs/{job.id}").json()["links"]["fit"] == f"/jobs/{job.id}/fit"


def test_of_many_rows_a_thousand_of_each_split_are_told_and_always_the_same(
    client: Client, place: Place
) -> None:
    data = {"source": "line", "step": 0.0002, "noise": 0.1}
    split = {"train": 0.5, "validation": 0.3, "shuffle": True}
    job = trained(place, 1, data=data, split=split)
    told = fit_of(client, job)
    assert [split["rows"] for split in told["splits"]] == [2500, 1500, 1000]
    for split_told in told["splits"]:
        assert len(split_told["x"]) == len(split_told["actual"]) == 1000
        assert len(split_told["predicted"]) == 1000
    assert fit_of(client, job) == told


def test_several_features_have_no_x_and_no_line(client: Client, place: Place) -> None:
    x = [[float(a), float(b)] for a in range(4) for b in range(5)]
    data = {
        "source": "points",
        "x": x,
        "y": [2 * a + 3 * b + 1 for a, b in x],
        "feature_names": ["a", "b"],
        "target_names": ["y"],
    }
    told = fit_of(client, trained(place, 1, "two", data=data))
    assert told["line"] is None
    assert sorted(split["rows"] for split in told["splits"]) == [4, 16]
    for split in told["splits"]:
        assert split["x"] is None
        assert split["predicted"] == pytest.approx(split["actual"], abs=1e-5)


def test_several_targets_are_lists_and_at_most_nine_are_told(client: Client, place: Place) -> None:
    targets = 11
    bundle = line([[float(place_)] for place_ in range(targets)], [0.0] * targets)
    number = place.publish(bundle, model="wide")
    x = [float(row) for row in range(20)]
    data = {"source": "points", "x": x, "y": [[a * b for b in range(targets)] for a in x]}
    told = fit_of(client, trained(place, number, "wide", data=data))
    assert told["target_names"] == [f"y{index}" for index in range(1, 10)]
    for split in told["splits"]:
        for x_value, actual, predicted in zip(
            split["x"], split["actual"], split["predicted"], strict=True
        ):
            assert actual == [x_value * index for index in range(9)]
            assert predicted == pytest.approx(actual)


def test_what_is_no_number_is_null(
    client: Client, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trained(place, 1)
    monkeypatch.setattr(Predictor, "predict", lambda self, x_NF: x_NF * float("nan"))
    told = fit_of(client, job)
    assert set(told["splits"][0]["predicted"]) == {None}


def test_a_job_without_a_version_has_no_fit(client: Client, place: Place) -> None:
    check_problem(client.get(f"/jobs/{place.queue().id}/fit"), 409, "job_not_finished")


def test_the_fit_of_a_version_that_was_deleted_is_not_found(client: Client, place: Place) -> None:
    job = trained(place, place.publish(active=False))
    assert client.request("DELETE", "/models/default/versions/2").status_code == 204
    check_problem(client.get(f"/jobs/{job.id}/fit"), 404, "version_not_found")


def test_the_bounds_are_those_that_are_told() -> None:
    assert (service.fits.MAX_SHOWN_ROWS, service.fits.MAX_SHOWN_TARGETS) == (1_000, 9)
