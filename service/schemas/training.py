"""What `POST /train` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from ml.spec.model import ARCHITECTURES, not_installed
from ml.spec.training import TrainingSpec
from service.errors import SpecUnreadableError

StartFrom = Literal["scratch", "active"] | Annotated[int, Field(ge=1, le=2**31 - 1)]


class TrainRequest(TrainingSpec):
    """Every field has a default; `{}` trains the tutorial's line.

    Defaults depend on the source of the data: the line is trained as the tutorial trains it; given
    rows are standardized, shuffled, and fitted by an optimizer that needs no tuning. The job shows
    every value in full.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {},
                {"data": {"source": "line", "weight": 0.3, "bias": 0.9}, "epochs": 300},
                {
                    "data": {
                        "source": "points",
                        "x": [[1.0, 20.0], [2.0, 10.0], [3.0, 40.0], [4.0, 30.0], [5.0, 60.0]],
                        "y": [5.1, 6.0, 11.2, 12.1, 17.0],
                        "feature_names": ["rooms", "area"],
                        "target_names": ["price"],
                    }
                },
            ]
        }
    )

    start_from: StartFrom = "scratch"
    """Start from new parameters, from the active version, or from a version by number."""
    promote: Literal["if_better", "always", "never"] = "if_better"
    """Whether the new version becomes the active one; `if_better` compares on the same rows."""


def stored_request(spec: Mapping[str, Any], context: dict[str, Any] | None = None) -> TrainRequest:
    """The request that a job or a version keeps; ``context`` as `ml.spec.dataset` asks for.

    Raises:
        SpecUnreadableError: it is of an architecture that is not installed here, or of another
            version of the package that brings it.
    """
    try:
        return TrainRequest.model_validate_json(json.dumps(spec), context=context)
    except ValidationError as error:
        kind = str(spec["architecture"]["kind"])
        if kind not in ARCHITECTURES:
            raise SpecUnreadableError(not_installed(kind)) from error
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"the spec cannot be read any more: {place}: {first['msg']}"
        raise SpecUnreadableError(message) from error
