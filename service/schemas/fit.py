"""What is told about how well a version fits the rows it was made from."""

from __future__ import annotations

from pydantic import ConfigDict

from service.schemas.jobs import Response

Targets = list[float] | list[list[float]]
"""One number a row for one target, one list a row for several."""


class FitSplitResponse(Response):
    """Rows of one split, at most 1,000 of them, evenly spread and always the same."""

    split: str
    """`train`, `validation` or `test`; one without rows is left out."""
    rows: int
    """How many the split has; `actual` may hold fewer."""
    x: list[float] | None
    """The one feature; null where the model has several."""
    actual: Targets
    predicted: Targets


class FitLineResponse(Response):
    """What the version answers between the least and the greatest x of all splits."""

    x: list[float]
    predicted: Targets


class FitResponse(Response):
    """Actual and predicted values of the rows that a version was trained and judged on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "job": "0f8fad5bd9cb469fa16570867728950e",
                    "model": "default",
                    "version": 1,
                    "feature_names": ["x"],
                    "target_names": ["y"],
                    "splits": [
                        {
                            "split": "train",
                            "rows": 40,
                            "x": [0.0, 0.02],
                            "actual": [0.3, 0.314],
                            "predicted": [0.3025, 0.3164],
                        }
                    ],
                    "line": {"x": [0.0, 0.98], "predicted": [0.3025, 0.9854]},
                }
            ]
        }
    )

    job: str
    model: str
    version: int
    feature_names: list[str]
    target_names: list[str]
    """At most nine; targets beyond them are left out of every list here."""
    splits: list[FitSplitResponse]
    line: FitLineResponse | None
    """Null where the model has several features."""
