"""Trainings on datasets that cannot be meant: refused, with the column pointed at."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.api.driving import Client, pointers
from tests.service.api.test_train_dataset import data, houses, send


@pytest.fixture(scope="module")
def dataset(steady_client: Client) -> str:
    """One for all of them: nothing is changed."""
    return send(steady_client, houses())


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"target": "nobody"}, "/data/target"),
        ({"target": ["price", "nobody"]}, "/data/target/1"),
        ({"target": ["price", "price"]}, "/data/target/1"),
        ({"target": []}, "/data/target"),
        ({"target": 7}, "/data/target"),
        ({"target": "address"}, "/data/target"),
        ({"features": []}, "/data/features"),
        ({"features": ["area", "price"]}, "/data/features/1"),
        ({"features": ["area", "colour"]}, "/data/features/1"),
        ({"features": ["area", 3]}, "/data/features/1"),
        ({"features": "area"}, "/data/features"),
        ({"categories": ["garden"]}, "/data/categories/0"),
        ({"features": ["area"], "categories": ["colour"]}, "/data/categories/0"),
        ({"categories": ["nobody"]}, "/data/categories/0"),
        ({"missing": "guess"}, "/data/missing"),
        ({"dataset": 7}, "/data/dataset"),
        ({"x": [1]}, "/data/x"),
    ],
)
def test_columns_that_cannot_be_meant_are_pointed_at(
    steady_client: Client, dataset: str, fields: dict[str, Any], pointer: str
) -> None:
    answer = steady_client.post("/train", {"data": {**data(dataset), **fields}})
    assert pointers(answer) == [pointer]


def test_a_category_of_too_many_words_is_refused_with_the_figure(steady_client: Client) -> None:
    text = "street,y\n" + "".join(f"s{row},{row}\n" for row in range(1001))
    answer = steady_client.post(
        "/train", {"data": data(send(steady_client, text), target="y", categories=["street"])}
    )
    assert pointers(answer) == ["/data/categories/0"]
    assert "at most 1,000 may" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"split": {"train": 0.01}}, "/split/train"),
        ({"batch_size": 8}, "/batch_size"),
        ({"architecture": {"kind": "parameters"}}, "/architecture/kind"),
        ({"epochs": 10**9}, "/epochs"),
        ({"schedule": {"kind": "cosine"}}, "/schedule"),
        ({"clip_grad_norm": 1}, "/clip_grad_norm"),
    ],
)
def test_the_rest_of_a_request_is_held_to_the_rows_of_the_dataset(
    steady_client: Client, dataset: str, fields: dict[str, Any], pointer: str
) -> None:
    answer = steady_client.post("/train", {"data": data(dataset), **fields})
    assert pointers(answer)[0] == pointer


def test_a_number_that_stands_for_a_name_is_no_name(steady_client: Client, dataset: str) -> None:
    for target in (1, True, {"column": "price"}, [["price"]]):
        answer = steady_client.post("/train", {"data": data(dataset, target=target)})
        assert pointers(answer)[0] in ("/data/target", "/data/target/0")
