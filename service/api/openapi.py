"""What `/openapi.json` says beyond what FastAPI finds by itself."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.schemas.imports import ImportRequest
from service.schemas.predict import PredictRequest
from service.schemas.problem import ProblemResponse
from service.schemas.training import TrainRequest
from service.schemas.v2 import IndexRequest, InferRequest, ProblemV2Response

_REF = "#/components/schemas/{model}"


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Documented errors of a route; 422 is always among them."""
    documented = {*statuses, HTTPStatus.UNPROCESSABLE_ENTITY}
    ref = _REF.format(model=ProblemResponse.__name__)
    content = {"application/problem+json": {"schema": {"$ref": ref}}}
    return {
        int(status): {"description": status.phrase, "content": content}
        for status in sorted(documented)
    }


def problems_v2(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """The same under /v2, where 400 takes the place of 422."""
    ref = _REF.format(model=ProblemV2Response.__name__)
    content = {"application/problem+json": {"schema": {"$ref": ref}}}
    return {
        int(status): {"description": status.phrase, "content": content}
        for status in sorted({*statuses, HTTPStatus.BAD_REQUEST})
    }


def install_openapi(app: FastAPI) -> None:
    """Add the bodies that routes read by themselves, and the problem."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
            )
            _, own = models_json_schema(
                [
                    (TrainRequest, "validation"),
                    (PredictRequest, "validation"),
                    (ImportRequest, "validation"),
                    (ProblemResponse, "serialization"),
                    (InferRequest, "validation"),
                    (IndexRequest, "validation"),
                    (ProblemV2Response, "serialization"),
                ],
                ref_template=_REF,
            )
            schema["components"]["schemas"].update(own["$defs"])
            for unused in ("HTTPValidationError", "ValidationError"):
                schema["components"]["schemas"].pop(unused, None)
            for path, operations in schema["paths"].items():
                for operation in operations.values() if path.startswith("/v2") else ():
                    # FastAPI adds it by itself; under /v2 it is 400.
                    operation["responses"].pop("422", None)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
