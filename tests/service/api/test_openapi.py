"""What `/openapi.json` and `/docs` tell is true, whole, and needs no internet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.errors import STATUS
from tests.service.api.driving import Client
from tests.service.making import NOW, Place, new_dataset

METHODS = {"get", "post", "put", "delete", "patch"}


@pytest.fixture(scope="module")
def openapi(steady_client: Client) -> dict[str, Any]:
    document: dict[str, Any] = steady_client.get("/openapi.json").json()
    return document


def operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in openapi["paths"].items():
        assert path.startswith("/")
        for method, operation in item.items():
            assert method in METHODS
            yield method, path, operation


def nodes(value: Any) -> Iterator[Any]:
    """Every object and list inside."""
    yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from nodes(part)


def test_it_is_an_openapi_document(openapi: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d", openapi["openapi"])
    assert openapi["info"]["title"] == "Refit"
    assert openapi["info"]["version"]
    assert openapi["info"]["summary"]
    ids = [operation["operationId"] for _, _, operation in operations(openapi)]
    assert len(ids) == len(set(ids)) > 20


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    references = {
        node["$ref"] for node in nodes(openapi) if isinstance(node, dict) and "$ref" in node
    }
    named = {f"#/components/schemas/{name}" for name in openapi["components"]["schemas"]}
    assert references == named
    for reference in references:
        here: Any = openapi
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]
        assert isinstance(here, dict)


def test_every_operation_is_whole(openapi: dict[str, Any]) -> None:
    for method, path, operation in operations(openapi):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["tags"], where
        declared = {
            parameter["name"]: parameter
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path"
        }
        assert set(re.findall(r"{(\w+)}", path)) == declared.keys(), where
        assert all(parameter["required"] for parameter in declared.values()), where
        assert any(status.startswith("2") for status in operation["responses"]), where
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status), where
            assert response["description"], where


def test_every_route_of_the_contract_is_there(openapi: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(openapi)} == {
        ("get", "/"),
        ("post", "/train"),
        ("post", "/models/{model}/train"),
        ("post", "/predict"),
        ("post", "/models/{model}/predict"),
        ("post", "/models/{model}/versions/{version}/predict"),
        ("get", "/params"),
        ("get", "/models/{model}/params"),
        ("get", "/models/{model}/versions/{version}/params"),
        ("get", "/models"),
        ("get", "/models/{model}"),
        ("get", "/models/{model}/versions"),
        ("get", "/models/{model}/versions/{version}"),
        ("delete", "/models/{model}/versions/{version}"),
        ("get", "/models/{model}/versions/{version}/state_dict.{kind}"),
        ("get", "/models/{model}/versions/{version}/artifact"),
        ("post", "/models/{model}/versions"),
        ("post", "/models/{model}/versions/{version}/activate"),
        ("post", "/models/{model}/rollback"),
        ("get", "/jobs"),
        ("get", "/jobs/{job_id}"),
        ("post", "/jobs/{job_id}/cancel"),
        ("get", "/jobs/{job_id}/curve"),
        ("get", "/jobs/{job_id}/curve.{kind}"),
        ("get", "/jobs/{job_id}/curve.{kind}"),
        ("get", "/jobs/{job_id}/fit"),
        ("get", "/jobs/{job_id}/fit.{kind}"),
        ("get", "/jobs/{job_id}/events"),
        ("post", "/datasets"),
        ("get", "/datasets"),
        ("get", "/datasets/{dataset_id}"),
        ("delete", "/datasets/{dataset_id}"),
        ("get", "/health"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/metrics"),
        ("get", "/v2"),
        ("get", "/v2/health/live"),
        ("get", "/v2/health/ready"),
        ("get", "/v2/models/stats"),
        ("get", "/v2/models/{model}"),
        ("get", "/v2/models/{model}/config"),
        ("get", "/v2/models/{model}/ready"),
        ("get", "/v2/models/{model}/stats"),
        ("post", "/v2/models/{model}/infer"),
        ("get", "/v2/models/{model}/versions/{version}"),
        ("get", "/v2/models/{model}/versions/{version}/config"),
        ("get", "/v2/models/{model}/versions/{version}/ready"),
        ("get", "/v2/models/{model}/versions/{version}/stats"),
        ("post", "/v2/models/{model}/versions/{version}/infer"),
        ("post", "/v2/repository/index"),
        ("post", "/v2/repository/models/{model}/load"),
        ("post", "/v2/repository/models/{model}/unload"),
    }


CANNOT_FAIL = {
    *("/", "/health", "/health/live", "/health/ready"),
    *("/v2", "/v2/health/live", "/v2/health/ready"),
    "/metrics",
}


def test_every_route_tells_its_problems(openapi: dict[str, Any]) -> None:
    statuses = {str(int(status)) for status in STATUS.values()}
    for method, path, operation in operations(openapi):
        problems = {s: r for s, r in operation["responses"].items() if s[0] in "45"}
        if path in CANNOT_FAIL:
            continue
        where = f"{method} {path}"
        is_v2 = path.startswith("/v2/")
        assert ("400" if is_v2 else "422") in problems, where
        assert problems.keys() <= statuses, where
        for response in problems.values():
            assert list(response["content"]) == ["application/problem+json"], where
            schema = response["content"]["application/problem+json"]["schema"]
            name = "ProblemV2Response" if is_v2 else "ProblemResponse"
            assert schema == {"$ref": f"#/components/schemas/{name}"}, where
        if (method, path) == ("post", "/models/{model}/versions"):
            assert problems.keys() >= {"413", "415", "429", "503", "507"}, where
        elif "{" in path and not path.endswith(("/train", "/load", "/unload")):
            assert "404" in problems, where
        if method == "post" and path.rpartition("/")[2] in ("train", "predict", "infer"):
            assert problems.keys() >= {"413", "415"}, where
        if (method, path) == ("post", "/datasets"):
            assert problems.keys() >= {"408", "409", "413", "415", "429", "503", "507"}, where
        if path.endswith("/train"):
            assert problems.keys() >= {"429", "503"}, where


def bodies(openapi: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for _, path, operation in operations(openapi):
        for kind, media in operation.get("requestBody", {"content": {}})["content"].items():
            if media["schema"].get("format") == "binary":
                continue  # no text shows it
            if "examples" in media:
                for example in media["examples"].values():
                    yield path, kind, example["value"]
            else:
                yield path, kind, media["example"]


def test_every_body_has_examples(openapi: dict[str, Any]) -> None:
    with_a_body = {path for _, path, operation in operations(openapi) if "requestBody" in operation}
    assert with_a_body == {
        "/train",
        "/models/{model}/train",
        "/predict",
        "/models/{model}/predict",
        "/models/{model}/versions/{version}/predict",
        "/datasets",
        "/models/{model}/versions",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
        "/v2/repository/index",
    }
    assert {path for path, _, _ in bodies(openapi)} == with_a_body
    assert {kind for path, kind, _ in bodies(openapi) if path == "/predict"} == {
        "application/json",
        "text/csv",
    }


def test_every_example_is_accepted(openapi: dict[str, Any], client: Client) -> None:
    tried = 0
    for path, kind, value in bodies(openapi):
        # Rows of two features are for a model of two features.
        model = "two" if value == {"x": [[1.0, 2.0], [3.0, 4.0]]} else "default"
        road = "/models/two/predict" if (path, model) == ("/predict", "two") else path
        road = road.replace("{model}", model).replace("{version}", "1")
        answer = client.post(road, value, headers={"Content-Type": kind})
        assert answer.status_code in (200, 201, 202), (road, value, answer.text)
        tried += 1
    assert tried >= 2 * 3 + 3 * 5 + 2 * 3 + 2 + 1


def test_every_answer_has_the_fields_that_its_schema_tells(
    openapi: dict[str, Any], client: Client, place: Place
) -> None:
    job = place.queue()
    with place.database.write() as stores:
        dataset = stores.datasets.add(new_dataset(), NOW)
    schemas = openapi["components"]["schemas"]
    for path, name in (
        ("/health", "HealthResponse"),
        ("/params", "ParamsResponse"),
        ("/models", "ModelListResponse"),
        ("/models/default", "ModelInFullResponse"),
        ("/models/default/versions", "VersionListResponse"),
        ("/models/default/versions/1", "VersionResponse"),
        ("/datasets", "DatasetListResponse"),
        (f"/datasets/{dataset.id}", "DatasetResponse"),
        ("/jobs", "JobListResponse"),
        (f"/jobs/{job.id}", "JobResponse"),
        (f"/jobs/{job.id}/curve", "CurveResponse"),
        ("/nowhere", "ProblemResponse"),
        ("/v2", "ServerResponse"),
        ("/v2/models/default", "ModelMetadataResponse"),
        ("/v2/models/default/config", "ModelConfigResponse"),
        ("/v2/models/default/versions/1/ready", "ModelReadyResponse"),
        ("/v2/models/stats", "StatisticsResponse"),
        ("/v2/nowhere", "ProblemV2Response"),
    ):
        answer = client.get(path).json()
        assert answer.keys() == schemas[name]["properties"].keys(), path
        assert answer.keys() >= set(schemas[name]["required"]), path


def test_requests_tell_their_fields_and_refuse_others(openapi: dict[str, Any]) -> None:
    for name in ("TrainRequest", "PredictRequest", "ImportRequest", "InferRequest", "IndexRequest"):
        schema = openapi["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
    train = openapi["components"]["schemas"]["TrainRequest"]["properties"]
    assert all("description" in field or "default" in field for field in train.values())


# ---- pages ----


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_and_all_they_load_come_from_here(steady_client: Client, page: str) -> None:
    answer = steady_client.get(page)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]*)"', answer.text)
    assert len(loaded) >= 2
    for link in loaded:
        assert link.startswith("/"), link
        assert not link.startswith("//"), link
        asset = steady_client.get(link)
        assert asset.status_code == 200, link
        assert len(asset.content) > 100, link
    assert not re.search(r"https?:(?!//(?:www\.)?w3\.org)", answer.text)
    assert "url(//" not in answer.text
    assert "/openapi.json" in answer.text


def test_the_root_leads_on(steady_client: Client) -> None:
    index = steady_client.get("/").json()
    for name, link in index["links"].items():
        assert steady_client.get(link).status_code == 200, name
    assert all(line.startswith("curl http://refit/") for line in index["try"])
