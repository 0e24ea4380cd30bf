"""Datasets that are trained on: the whole road from a file to a model that serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete

import service.fits
from service.errors import DatasetNotFoundError
from service.jobs.requests import validation_context
from service.schemas.training import TrainRequest
from service.store.tables import datasets
from tests.service.api.driving import Client, check_problem, pointers
from tests.service.api.test_jobs import walk
from tests.service.making import Place, line
from tests.waiting import until

CSV = {"Content-Type": "text/csv"}
WAIT = {"Prefer": "wait=30"}
UNKNOWN = "0" * 32
COLOURS = {"blue": 10.0, "green": 20.0, "red": 30.0}

LONG: dict[str, Any] = {"epochs": 1_000_000, "evaluate_every": 1000, "optimizer": {"kind": "sgd"}}
"""Takes minutes, unless something ends it."""

pytestmark = pytest.mark.usefixtures("training")


def houses(
    rows: int = 40,
    colours: tuple[str, ...] = ("blue", "green", "red"),
    missing: tuple[int, ...] = (),
) -> str:
    """price = 3 area + 5 with a garden + 10, 20 or 30 by colour; the address is unique."""
    lines = ["address,area,colour,garden,price"]
    for row in range(rows):
        area, garden = 20 + 7 * (row * 13 % rows), row % 4 == 1
        colour = colours[row % len(colours)]
        price = 3 * area + 5 * garden + COLOURS.get(colour, 40.0)
        shown = "" if row in missing else area
        lines.append(f"{row} High St,{shown},{colour},{str(garden).lower()},{price}")
    return "\n".join(lines) + "\n"


def send(client: Client, text: str, query: str = "") -> str:
    """Upload a file; the id of the dataset."""
    answer = client.request("POST", f"/datasets{query}", content=text.encode(), headers=CSV)
    assert answer.status_code in (200, 201), answer.text
    dataset: str = answer.json()["id"]
    return dataset


def data(dataset: str, **fields: Any) -> dict[str, Any]:
    return {"source": "dataset", "dataset": dataset, "target": "price", **fields}


def coloured(dataset: str, **fields: Any) -> dict[str, Any]:
    return data(dataset, features=["area", "colour", "garden"], categories=["colour"], **fields)


def train(
    client: Client, columns: dict[str, Any], model: str = "houses", **fields: Any
) -> dict[str, Any]:
    """Train to the end; the job."""
    answer = client.post(f"/models/{model}/train", {"data": columns, **fields}, headers=WAIT)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def trained(
    client: Client, columns: dict[str, Any], model: str = "houses", **fields: Any
) -> dict[str, Any]:
    """Train with success; the job."""
    job = train(client, columns, model, **fields)
    assert job["state"] == "succeeded", job["error"]
    return job


def wait_for_state(client: Client, job: dict[str, Any], state: str) -> None:
    path = f"/jobs/{job['id']}"
    until(lambda: client.get(path).json()["state"] == state, state)


# ---- from a file to a model ----


def test_a_file_becomes_a_model_that_answers(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    job = trained(empty_client, data(dataset, categories=["colour"]))
    assert job["spec"]["data"] == {
        "source": "dataset",
        "dataset": dataset,
        "features": ["area", "colour", "garden"],
        "target": "price",
        "categories": ["colour"],
        "missing": "refuse",
    }
    spec = job["spec"]
    assert (spec["loss"], spec["optimizer"]["kind"], spec["standardize"]) == ("mse", "lbfgs", True)
    assert spec["split"] == {"train": 0.8, "validation": 0, "shuffle": True}
    assert job["links"]["dataset"] == f"/datasets/{dataset}"
    assert job["metrics"]["test_r2"] == pytest.approx(1, abs=1e-6)
    assert job["metrics"]["least_squares_gap"] < 1e-4
    version = empty_client.get(job["links"]["version"]).json()
    assert version["spec"] == spec
    assert version["metrics"] == job["metrics"]
    assert version["warnings"] == job["warnings"]
    environment = version["environment"]
    assert environment["rows"] == {"train": 32, "validation": 0, "test": 8, "left_out": 0}
    assert (environment["streamed"], environment["dtype"]) == (False, "float64")
    params = empty_client.get("/models/houses/params").json()
    assert params["feature_names"] == ["area", "colour", "garden"]
    assert params["categories"] == {"colour": ["blue", "green", "red"]}
    assert params["columns"] == ["area", "colour=blue", "colour=green", "colour=red", "garden"]
    assert params["truth"] is None
    weights = dict(zip(params["columns"], params["weight"], strict=True))
    assert weights["area"] == pytest.approx(3, rel=1e-4)
    assert weights["colour=red"] - weights["colour=blue"] == pytest.approx(20, rel=1e-3)
    assert params["least_squares"]["gap"] == pytest.approx(job["metrics"]["least_squares_gap"])
    assert params["least_squares"]["weight"] == pytest.approx(params["weight"], abs=1e-2)
    predict = job["links"]["predict"]
    rows = [{"area": 100, "colour": "green", "garden": True}]
    answer = empty_client.post(predict, {"rows": rows, "explain": True}).json()
    assert answer["y"] == [pytest.approx(325, abs=0.05)]
    assert answer["extrapolating"] == [False]
    table = "garden,colour,area\nfalse,red,1000\n"
    answer = empty_client.post(f"{predict}?explain=true", table, headers=CSV).json()
    assert answer["y"] == [pytest.approx(3030, abs=0.5)]
    assert answer["extrapolating"] == [True]


def test_several_targets_are_predicted_at_once(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    job = trained(empty_client, data(dataset, target=["price", "garden"], features=["area"]))
    answer = empty_client.post(job["links"]["predict"], {"x": [[50.0]]}).json()
    assert len(answer["y"][0]) == 2
    params = empty_client.get("/models/houses/params").json()
    assert params["target_names"] == ["price", "garden"]


def test_the_same_training_of_the_same_rows_has_the_same_bits(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    twice = [trained(empty_client, coloured(dataset)) for _ in range(2)]
    versions = [empty_client.get(job["links"]["version"]).json() for job in twice]
    assert versions[0]["artifact"] == versions[1]["artifact"]
    assert versions[0]["data_sha256"] == versions[1]["data_sha256"]
    other = trained(empty_client, coloured(send(empty_client, houses(41))))
    version = empty_client.get(other["links"]["version"]).json()
    assert version["data_sha256"] != versions[0]["data_sha256"]


# ---- what a person should know ----


def test_what_is_to_be_known_stands_in_job_version_and_list(
    empty_client: Client, place: Place
) -> None:
    text = "price,area,same,address\n"
    text += "".join(
        f"{3 * row},{'' if row in (3, 4) else row},7,{row} High St\n" for row in range(30)
    )
    dataset = send(empty_client, text)
    job = trained(empty_client, data(dataset, missing="drop"))
    assert job["spec"]["data"]["features"] == ["area", "same"]
    assert job["warnings"] == [
        "2 of 30 rows have a missing cell and were left out",
        "columns without numbers were left out: address (text); `categories` makes text usable",
        "constant in the training rows, so nothing is known of them: same",
    ]
    version = empty_client.get(job["links"]["version"]).json()
    assert version["warnings"] == job["warnings"]
    assert version["environment"]["rows"]["left_out"] == 2
    (listed,) = walk(empty_client, "/jobs?model=houses", "jobs", 10)
    del job["spec"]
    assert listed == job
    (version_listed,) = walk(empty_client, "/models/houses/versions", "versions", 10)
    assert version_listed == version
    assert place.states(job["id"]) == ["queued", "running", "succeeded"]


# ---- missing cells ----


def test_missing_cells_are_refused_unless_they_may_be_dropped(empty_client: Client) -> None:
    dataset = send(empty_client, houses(missing=(1, 5, 9)))
    answer = empty_client.post("/train", {"data": coloured(dataset)})
    assert pointers(answer) == ["/data/features/0"]
    told = '3 of the 40 cells of column area are missing: send "missing": "drop"'
    assert told in answer.json()["detail"]
    # In a column that nobody asked for they are no harm.
    trained(empty_client, data(dataset, features=["garden"]))
    job = trained(empty_client, coloured(dataset, missing="drop"))
    version = empty_client.get(job["links"]["version"]).json()
    rows = {"train": 29, "validation": 0, "test": 8, "left_out": 3}
    assert version["environment"]["rows"] == rows


def test_where_no_row_is_complete_the_job_says_so(empty_client: Client) -> None:
    text = "a,b,y\n" + "".join(
        f"{row},,{row}\n" if row % 2 else f",{row},{row}\n" for row in range(20)
    )
    job = train(empty_client, data(send(empty_client, text), target="y", missing="drop"))
    assert job["state"] == "failed"
    assert job["error"]["code"] == "invalid_data"
    assert "each of the 20 rows" in job["error"]["message"]


# ---- text that reads like numbers ----


def test_a_text_column_of_numbers_becomes_a_category(empty_client: Client) -> None:
    dataset = send(empty_client, "code,y\n" + "1,5\n2,7\n" * 10, query="?text=code")
    job = trained(empty_client, data(dataset, target="y", categories=["code"]))
    answer = empty_client.post(job["links"]["predict"], {"rows": [{"code": "2"}]})
    assert answer.json()["y"] == [pytest.approx(7, abs=1e-3)]


# ---- datasets come and go ----


def test_an_unknown_dataset_is_not_found(empty_client: Client) -> None:
    # As GET /datasets/x: what no id looks like is no dataset's.
    for dataset in (UNKNOWN, "x", "A" * 32, "", "../" * 10 + "xx"):
        answer = empty_client.post("/train", {"data": data(dataset)})
        check_problem(answer, 404, "dataset_not_found")
    assert walk(empty_client, "/jobs", "jobs", 10) == []


def test_a_dataset_that_goes_between_reading_and_queueing_is_not_found(
    empty_client: Client,
) -> None:
    dataset = send(empty_client, houses())
    parts = empty_client.parts
    request = TrainRequest.model_validate(
        {"data": data(dataset)}, context=validation_context(parts.datasets)
    )
    assert empty_client.request("DELETE", f"/datasets/{dataset}").status_code == 204
    with pytest.raises(DatasetNotFoundError):
        parts.desk.submit("houses", request)
    assert walk(empty_client, "/jobs", "jobs", 10) == []


def test_a_dataset_stays_as_long_as_a_job_needs_it(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    here = f"/datasets/{dataset}"
    running = empty_client.post("/train", {"data": coloured(dataset), **LONG}).json()
    waiting = empty_client.post("/train", {"data": coloured(dataset), **LONG}).json()
    job = f"/jobs/{running['id']}"
    until(lambda: empty_client.get(job).json()["progress"]["epoch"] > 0, "the training to begin")
    check_problem(empty_client.request("DELETE", here), 409, "dataset_in_use")
    empty_client.post(f"{job}/cancel")
    # The other one needs it too: it waits, or has begun.
    check_problem(empty_client.request("DELETE", here), 409, "dataset_in_use")
    assert empty_client.get(here).status_code == 200
    for one in (running, waiting):
        empty_client.post(f"/jobs/{one['id']}/cancel")
        wait_for_state(empty_client, one, "cancelled")
    assert empty_client.request("DELETE", here).status_code == 204
    check_problem(empty_client.get(here), 404, "dataset_not_found")


def test_a_model_serves_on_when_its_dataset_is_gone(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    job = trained(empty_client, coloured(dataset))
    assert empty_client.request("DELETE", f"/datasets/{dataset}").status_code == 204
    row = {"area": 100, "colour": "green", "garden": True}
    assert empty_client.post(job["links"]["predict"], {"rows": [row]}).status_code == 200
    assert empty_client.get(job["links"]["self"]).json() == job
    assert empty_client.get("/models/houses/params").status_code == 200
    assert empty_client.get(job["links"]["curve_svg"]).status_code == 200
    check_problem(empty_client.get(job["links"]["fit_svg"]), 404, "dataset_not_found")
    body = {"data": coloured(dataset)}
    check_problem(empty_client.post("/models/houses/train", body), 404, "dataset_not_found")


Break = Callable[[Client, Place, str], None]


def lose_the_file(client: Client, place: Place, dataset: str) -> None:
    shutil.rmtree(place.settings.datasets_dir / dataset)


def damage_the_file(client: Client, place: Place, dataset: str) -> None:
    (place.settings.datasets_dir / dataset / "rows.arrow").write_bytes(b"not arrow" * 100)


def lose_the_row(client: Client, place: Place, dataset: str) -> None:
    with place.database.write() as stores:
        stores.datasets._connection.execute(delete(datasets))


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lose_the_file, "dataset_missing"),
        (damage_the_file, "dataset_corrupt"),
        (lose_the_row, "dataset_not_found"),
    ],
)
def test_a_job_whose_rows_are_damaged_fails_at_once_and_says_why(
    empty_client: Client, place: Place, break_it: Break, code: str
) -> None:
    # As after a backup that was put back in part: no road of ours leads there.
    first = empty_client.post("/train", {"data": coloured(send(empty_client, houses(50))), **LONG})
    dataset = send(empty_client, houses())
    second = empty_client.post("/train", {"data": coloured(dataset)}).json()
    break_it(empty_client, place, dataset)
    empty_client.post(f"/jobs/{first.json()['id']}/cancel")
    path = f"/jobs/{second['id']}"
    until(lambda: empty_client.get(path).json()["finished_at"], "the end of the job", 30)
    job = empty_client.get(path).json()
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["error"]["code"] == code
    assert str(place.settings.data_dir) not in str(job)


# ---- trained again ----


def test_a_retrain_with_the_same_words_is_compared_on_the_same_rows(empty_client: Client) -> None:
    trained(empty_client, coloured(send(empty_client, houses())))
    more = send(empty_client, houses(80))
    worse = trained(empty_client, coloured(more), epochs=1, optimizer={"kind": "sgd", "lr": 1e-6})
    assert worse["promotion"]["promoted"] is False
    assert "rmse" in worse["promotion"]["reason"]
    assert "of version 1 on the same rows" in worse["promotion"]["reason"]
    assert empty_client.get("/models/houses").json()["active_version"] == 1


def test_a_retrain_with_words_that_the_active_version_does_not_know_is_promoted(
    empty_client: Client,
) -> None:
    trained(empty_client, coloured(send(empty_client, houses())))
    colours = ("blue", "green", "pink", "red")
    job = trained(empty_client, coloured(send(empty_client, houses(80, colours))))
    assert job["promotion"]["promoted"] is True
    assert "cannot answer the rows held out" in job["promotion"]["reason"]
    params = empty_client.get("/models/houses/versions/2/params").json()
    assert params["categories"] == {"colour": list(colours)}
    # JSON has no infinity: that all of it is read back is part of the test.
    assert empty_client.get(job["links"]["self"]).json() == job
    row = {"area": 50, "colour": "pink", "garden": False}
    first, second = (f"/models/houses/versions/{number}/predict" for number in (1, 2))
    assert empty_client.post(second, {"rows": [row]}).status_code == 200
    check_problem(empty_client.post(first, {"rows": [row]}), 422, "unseen_category")


def test_a_retrain_with_fewer_words_is_not_promoted_by_itself(empty_client: Client) -> None:
    trained(empty_client, coloured(send(empty_client, houses())))
    fewer = send(empty_client, houses(60, ("blue", "red")))
    job = trained(empty_client, coloured(fewer))
    assert job["promotion"]["promoted"] is False
    assert "values of a category that the new one lacks" in job["promotion"]["reason"]


def test_a_retrain_with_other_columns_is_not_promoted_by_itself(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    trained(empty_client, coloured(dataset))
    others = [
        data(dataset, features=["area", "garden"]),
        data(dataset, features=["colour", "area", "garden"], categories=["colour"]),
        {**coloured(dataset), "target": ["price", "garden"], "features": ["area", "colour"]},
        {**coloured(dataset), "target": "garden", "features": ["area", "colour", "price"]},
    ]
    for other in others:
        job = trained(empty_client, other)
        assert job["promotion"]["promoted"] is False
        assert "has other features or targets" in job["promotion"]["reason"]


def test_the_first_dataset_takes_the_place_of_the_bootstrap_line(
    empty_client: Client, place: Place
) -> None:
    place.publish(line(), origin="bootstrap")
    job = trained(empty_client, coloured(send(empty_client, houses())), "default")
    assert job["promotion"] == {
        "promoted": True,
        "reason": "version 1 is the bootstrap line and takes other rows",
    }


def test_a_training_goes_on_from_the_active_version(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    first = trained(empty_client, coloured(dataset))
    still: dict[str, Any] = {
        "epochs": 1,
        "optimizer": {"kind": "sgd", "lr": 1e-9},
        "start_from": "active",
    }
    second = trained(empty_client, coloured(dataset), **still)
    assert second["metrics"]["train_loss"] == pytest.approx(
        first["metrics"]["train_loss"], abs=1e-6
    )
    by_number = trained(empty_client, coloured(dataset), **{**still, "start_from": 1})
    assert by_number["metrics"]["train_loss"] == second["metrics"]["train_loss"]
    # The same words in another file: other statistics, the same columns.
    more = trained(empty_client, coloured(send(empty_client, houses(60))), **still)
    assert more["metrics"]["train_mae"] < 1


def test_a_training_cannot_go_on_from_a_version_of_other_words(empty_client: Client) -> None:
    trained(empty_client, coloured(send(empty_client, houses())))
    fewer = send(empty_client, houses(60, ("blue", "red")))
    job = train(empty_client, coloured(fewer), start_from="active")
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert job["error"]["code"] == "invalid_input"
    assert "cannot start from linear with 5 features" in job["error"]["message"]


def test_as_many_words_are_not_the_same_words(empty_client: Client) -> None:
    # The weight of green would become that of pink, without a word.
    trained(empty_client, coloured(send(empty_client, houses())))
    other = send(empty_client, houses(60, ("blue", "pink", "red")))
    job = train(empty_client, coloured(other), start_from="active")
    assert (job["state"], job["error"]["code"]) == ("failed", "invalid_input")
    assert "category colour" in job["error"]["message"]
    assert "pink" not in job["error"]["message"]


def test_a_training_with_words_cannot_go_on_from_numbers(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    trained(empty_client, data(dataset, features=["area", "garden"]))
    body = {"data": coloured(dataset), "start_from": "active"}
    answer = empty_client.post("/models/houses/train", body)
    assert pointers(answer) == ["/start_from"]
    assert "version 1 is linear with 2 features" in answer.json()["detail"]


@pytest.mark.parametrize("names", ["kept", "lost"])
def test_a_training_goes_on_from_a_version_of_before_there_were_datasets(
    empty_client: Client, place: Place, names: str
) -> None:
    # Versions did not keep the names of their columns then; the migration has filled them in.
    lost: dict[str, Any] = {"feature_names": None, "target_names": None} if names == "lost" else {}
    place.publish(line([3.0, 5.0], 10.0, features=("a", "b")), model="houses", **lost)
    dataset = send(empty_client, houses())
    two = data(dataset, features=["area", "garden"])
    job = trained(empty_client, two, start_from=1, epochs=1, optimizer={"kind": "sgd", "lr": 1e-9})
    # It begins where version 1 is: off by the colour only, less 10.
    assert job["metrics"]["train_mae"] == pytest.approx(10, abs=3)
    for other in (data(dataset, features=["area"]), coloured(dataset)):
        answer = empty_client.post("/models/houses/train", {"data": other, "start_from": 1})
        assert pointers(answer) == ["/start_from"]


def test_the_same_key_is_the_same_job(empty_client: Client) -> None:
    dataset = send(empty_client, houses())
    key = {"Idempotency-Key": '"monday"'}
    first = empty_client.post("/train", {"data": coloured(dataset)}, headers=key).json()
    again = empty_client.post("/train", {"data": coloured(dataset)}, headers=key).json()
    assert again["id"] == first["id"]
    # What was left out and what is filled in for it are the same request.
    filled = {**first["spec"]}
    assert empty_client.post("/train", filled, headers=key).json()["id"] == first["id"]
    other = {"data": coloured(dataset, missing="drop")}
    answer = empty_client.post("/train", other, headers=key)
    check_problem(answer, 422, "idempotency_key_reused")


# ---- pictures ----


def test_the_fit_of_a_dataset_is_drawn(empty_client: Client) -> None:
    job = trained(empty_client, coloured(send(empty_client, houses())))
    svg = empty_client.get(job["links"]["fit_svg"])
    assert (svg.status_code, svg.headers["content-type"]) == (200, "image/svg+xml")
    for words in ("Training data", "Testing data", "Actual price", "Predicted price"):
        assert words in svg.text
    png = empty_client.get(f"/jobs/{job['id']}/fit.png")
    assert (png.status_code, png.headers["content-type"]) == (200, "image/png")
    assert png.content.startswith(b"\x89PNG")
    assert empty_client.get(job["links"]["fit_svg"]).content == svg.content


def test_the_fit_of_too_many_rows_is_not_drawn(
    empty_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trained(empty_client, coloured(send(empty_client, houses())))
    # 40 rows of 5 columns and a target, four times in float64.
    monkeypatch.setattr(service.fits, "MAX_DATASET_BYTES", 40 * 6 * 8 * 4 - 1)
    body = check_problem(empty_client.get(job["links"]["fit_svg"]), 409, "picture_too_large")
    assert body["detail"].startswith("the 40 rows of the dataset are too many")
    monkeypatch.setattr(service.fits, "MAX_DATASET_BYTES", 40 * 6 * 8 * 4)
    assert empty_client.get(job["links"]["fit_svg"]).status_code == 200


@pytest.mark.parametrize("break_it", [lose_the_file, damage_the_file])
def test_the_fit_of_a_dataset_that_is_damaged_is_an_error_with_a_name(
    empty_client: Client, place: Place, break_it: Break
) -> None:
    dataset = send(empty_client, houses())
    job = trained(empty_client, coloured(dataset))
    break_it(empty_client, place, dataset)
    answer = empty_client.get(job["links"]["fit_svg"])
    body = check_problem(answer, 409, "dataset_unreadable")
    assert "send the file again" in body["detail"]
    assert str(place.settings.data_dir) not in answer.text
    # Which mends it, under the same id.
    assert send(empty_client, houses()) == dataset
    assert empty_client.get(job["links"]["fit_svg"]).status_code == 200
